package read

import (
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1beta1 "k8s.io/apimachinery/pkg/apis/meta/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/request"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/util/apihelpers"
	"k8s.io/utils/clock"

	"gatehouse/engine/objects/cache"
)

// Config is what a Reader must know of its resource. Only Decorate, Counts and Clock are optional.
type Config struct {
	// Scope is the one that upstream's handlers of the same resource and version use.
	Scope *handlers.RequestScope
	// Resource is the same for all versions of the resource.
	Resource Resource
	// Collection holds the resource's objects, as NewCollection makes it.
	Collection *cache.Collection
	// MinWatchTimeout is the least time that a watch stays open if its client asks for no timeoutSeconds.
	MinWatchTimeout time.Duration
	// Counts is told of every read.
	Counts *Counts
	// Clock times watches and their bookmarks; nil is the real one.
	Clock clock.Clock
}

// Resource says how the objects of a resource are stored and selected.
type Resource struct {
	// Prefix is what the resource's keys begin with, without a slash at its end: "/registry/pods".
	Prefix string
	// Namespaced says that the namespace stands between prefix and name.
	Namespaced bool
	// NewObject and NewList make empty ones, in the version that Decode decodes to.
	NewObject, NewList func() runtime.Object
	// Attributes tells the labels and the selectable fields of an object.
	Attributes apistorage.AttrFunc
	// Indexed are fields that are often selected by one value.
	Indexed []string
	// Codec encodes objects as they are stored.
	Codec runtime.Codec
	// Decode makes an object of the stored bytes under a key.
	Decode func(key string, stored []byte, revision int64) (runtime.Object, error)
	// Decorate completes what was read before it is shown, where upstream's registry does so; nil otherwise.
	Decorate func(runtime.Object)
}

// NewCollection keeps a resource in the cache. All Readers of the resource share the collection.
func NewCollection(c *cache.Cache, resource Resource) *cache.Collection {
	decode := resource.Decode
	if resource.Decorate != nil {
		decode = func(key string, stored []byte, revision int64) (runtime.Object, error) {
			object, err := resource.Decode(key, stored, revision)
			if err == nil {
				resource.Decorate(object)
			}
			return object, err
		}
	}
	return c.Attach(cache.Resource{Prefix: resource.Prefix + "/", Decode: decode, Attributes: resource.Attributes, Indexed: resource.Indexed})
}

// Reader answers reads of one resource in one served version, safe for concurrent use.
type Reader struct {
	Config
	object *shape
	// metadata by the version of meta.k8s.io that is asked for.
	metadata map[schema.GroupVersion]*shape
	// tables by the version of meta.k8s.io, too: what is around a table.
	tables map[schema.GroupVersion]envelope
	// unprinted is what need not be decoded of objects, in the served version, to print them.
	unprinted trimming
	// status is around the Status that ends a failed watch.
	status   envelope
	encoders encoders
	buffers  *buffers
	recent   recentRows
}

// New makes a Reader. It reads no objects yet.
func New(config Config) (*Reader, error) {
	r := &Reader{
		Config: config, metadata: map[schema.GroupVersion]*shape{}, tables: map[schema.GroupVersion]envelope{}, buffers: newBuffers(),
		unprinted: unprinted(config.Scope.Kind),
	}
	if r.Counts == nil {
		r.Counts = &Counts{}
	}
	if r.Clock == nil {
		r.Clock = clock.RealClock{}
	}
	listKind, err := r.listKind()
	if err != nil {
		return nil, err
	}
	if r.object, err = newObjectShape(r.Scope.Serializer, r.Scope.Kind, listKind); err != nil {
		return nil, err
	}
	if err := r.object.replaceStored(config.Resource); err != nil {
		return nil, err
	}
	if r.status, err = newEnvelope(metav1.Unversioned.WithKind("Status")); err != nil {
		return nil, err
	}
	if r.encoders, err = newEncoders(r.Scope.Serializer, r.Scope.Kind.GroupVersion()); err != nil {
		return nil, err
	}
	for _, version := range []schema.GroupVersion{metav1.SchemeGroupVersion, metav1beta1.SchemeGroupVersion} {
		if r.metadata[version], err = newMetadataShape(apihelpers.GetMetaInternalVersionCodecs(), version); err != nil {
			return nil, err
		}
		if r.tables[version], err = newEnvelope(version.WithKind("Table")); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// listKind is what the resource's lists are called in the served version.
func (r *Reader) listKind() (schema.GroupVersionKind, error) {
	version := r.Scope.Kind.GroupVersion()
	list, err := r.Scope.Convertor.ConvertToVersion(r.Resource.NewList(), version)
	if err != nil {
		return schema.GroupVersionKind{}, fmt.Errorf("find the list kind of %s: %w", r.Scope.Kind, err)
	}
	return list.GetObjectKind().GroupVersionKind(), nil
}

// answering prepares the answer to a request, or says why there is none. Nothing is written before send is called, and once it
// is, the answer is ours.
type answering func(w http.ResponseWriter, req *http.Request, info *request.RequestInfo) (send func(), reason Reason)

// before makes a handler that answers what it can, and otherwise hands on to upstream's.
func (r *Reader) before(upstream http.HandlerFunc, answer answering) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		send, reason := func() { upstream(w, req) }, Refused
		if info, ok := request.RequestInfoFrom(req.Context()); ok {
			if ours, why := answer(w, req, info); why == reasonNone {
				send, reason = ours, reasonNone
			} else {
				reason = why
			}
		}
		r.Counts.add(reason)
		send()
	}
}

// representation is how an answer is to be written.
type representation struct {
	shape     *shape
	encoding  cache.Encoding
	mediaType string
	pretty    bool
	// yaml is made of the JSON, as upstream makes it.
	yaml bool
	// table is what the client wants instead; nil otherwise.
	table *tableForm
}

// negotiate finds the representation that upstream would choose. metadataKind is what an answer of metadata alone would be
// called.
func (r *Reader) negotiate(req *http.Request, metadataKind string) (representation, Reason) {
	options, info, err := negotiation.NegotiateOutputMediaType(req, r.Scope.Serializer, r.Scope)
	if err != nil {
		return representation{}, Refused
	}
	rep := representation{
		shape:     r.object,
		mediaType: info.MediaType,
		pretty:    info.PrettySerializer != nil && info.Serializer == info.PrettySerializer,
		yaml:      info.MediaType == runtime.ContentTypeYAML,
	}
	switch info.MediaType {
	case runtime.ContentTypeJSON, runtime.ContentTypeYAML:
		rep.encoding = cache.JSON
	case runtime.ContentTypeProtobuf:
		rep.encoding = cache.Protobuf
	default:
		return representation{}, Encoding
	}
	return r.converted(req, rep, options.Convert, metadataKind)
}

// converted is the representation in which the client gets something else than the object, if it asks for that.
func (r *Reader) converted(req *http.Request, rep representation, convert *schema.GroupVersionKind, metadataKind string) (
	representation, Reason,
) {
	switch {
	case convert == nil:
		return rep, reasonNone
	case r.metadata[convert.GroupVersion()] == nil:
		return representation{}, Refused
	case convert.Kind == "Table":
		var ok bool
		if rep.table, ok = r.tableForm(req, convert.GroupVersion()); !ok || rep.encoding != cache.JSON {
			return representation{}, Refused
		}
		return rep, reasonNone
	case convert.Kind == metadataKind:
		rep.shape = r.metadata[convert.GroupVersion()]
		return rep, reasonNone
	default:
		return representation{}, Refused
	}
}

// auditsAnswers says whether the audit log wants this request's answer. What watches tell it never keeps.
func auditsAnswers(req *http.Request) bool {
	log := audit.AuditContextFrom(req.Context())
	return log.Enabled() && !log.GetEventLevel().Less(auditinternal.LevelRequestResponse)
}
