package discovery

import (
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
)

// responder answers in the forms that Kubernetes has: JSON, YAML and protobuf.
type responder struct{ codecs runtime.NegotiatedSerializer }

func newResponder() responder {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return responder{serializer.NewCodecFactory(scheme)}
}

// Version serves /version, which says which Kubernetes this server is.
func Version(info version.Info) http.Handler {
	write := func(w http.ResponseWriter, _ *http.Request) { responsewriters.WriteRawJSON(http.StatusOK, info, w) }
	return newResponder().routed(http.HandlerFunc(write), []string{"application/json"})
}

// write answers with an object in the form that the client accepts. As with kube-aggregator, any method will do.
func (p responder) write(object runtime.Object, w http.ResponseWriter, r *http.Request) {
	responsewriters.WriteObjectNegotiated(p.codecs, negotiation.DefaultEndpointRestrictions, schema.GroupVersion{},
		w, r, http.StatusOK, object, false)
}

// onlyGet puts before a handler the checks that upstream has go-restful do.
func (p responder) onlyGet(handler http.Handler) http.Handler {
	produced, _ := negotiation.MediaTypesForSerializer(p.codecs)
	return p.routed(handler, produced)
}

// routed refuses all methods but GET, and clients that accept none of the media types produced.
func (p responder) routed(handler http.Handler, produced []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet:
			p.refuse(http.StatusMethodNotAllowed, "405: Method Not Allowed", w, r)
		case !accepts(r.Header.Get("Accept"), produced):
			p.refuse(http.StatusNotAcceptable, "406: Not Acceptable\n\nAvailable representations: "+strings.Join(produced, ", "), w, r)
		default:
			handler.ServeHTTP(w, r)
		}
	})
}

func (p responder) refuse(code int, message string, w http.ResponseWriter, r *http.Request) {
	err := apierrors.NewGenericServerResponse(code, "", schema.GroupResource{}, "", message, 0, false)
	responsewriters.ErrorNegotiated(err, p.codecs, schema.GroupVersion{}, w, r)
}

// accepts says whether an Accept header names one of the media types produced, or all. Wildcards within a type do not
// count, nor do weights: that is how go-restful has it.
func accepts(header string, produced []string) bool {
	if header == "" {
		return true
	}
	for clause := range strings.SplitSeq(header, ",") {
		mediaType, _, _ := strings.Cut(clause, ";")
		if mediaType = strings.TrimSpace(mediaType); mediaType == "*/*" || slices.Contains(produced, mediaType) {
			return true
		}
	}
	return false
}
