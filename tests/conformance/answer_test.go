package conformance

import (
	"compress/gzip"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

var (
	apiScheme          = newScheme()
	codecs             = serializer.NewCodecFactory(apiScheme)
	protobufSerializer = protobuf.NewSerializer(apiScheme, apiScheme)
)

// newScheme knows every kind in its external versions, and those that answers are wrapped in.
func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, metav1.AddMetaToScheme} {
		if err := add(s); err != nil {
			panic(err) // two packages of Kubernetes disagree on a kind: not for a test to go on with
		}
	}
	return s
}

// comparedHeaders are those that clients depend on.
var comparedHeaders = []string{
	"Allow", "Cache-Control", "Content-Encoding", "Content-Type", "Location", "Retry-After", "Sec-Websocket-Protocol",
	"Upgrade", "Vary", "Warning", "Www-Authenticate", "X-Content-Type-Options",
}

// answer is a response, read to where the step is interested in it.
type answer struct {
	status int
	header http.Header
	// documents are the bodies' values, several for a watch; nil if text is what there is.
	documents []any
	text      string
}

func readAnswer(response *http.Response, s step) (*answer, error) {
	a := &answer{status: response.StatusCode, header: http.Header{}}
	for _, name := range comparedHeaders {
		if values := response.Header.Values(name); len(values) > 0 {
			a.header[name] = values
		}
	}
	if response.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(response.Body)
		if err != nil {
			return nil, fmt.Errorf("unzip the answer %s: %w", response.Status, err)
		}
		response.Body = unzipped
	}
	documents, err := readDocuments(response, s)
	if err != nil {
		return nil, fmt.Errorf("read the answer %s: %w", response.Status, err)
	}
	a.documents = documents
	if documents == nil {
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, fmt.Errorf("read the answer %s: %w", response.Status, err)
		}
		a.text = string(body)
	}
	return a, nil
}

// readDocuments decodes what is structured, and reads nothing of other bodies.
func readDocuments(response *http.Response, s step) ([]any, error) {
	if response.StatusCode == http.StatusSwitchingProtocols {
		return readFrames(response.Body, s.events)
	}
	mediaType, parameters, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case err != nil || s.raw || s.method == http.MethodHead:
		return nil, nil // it will be shown as it is
	case mediaType == jsonType:
		return readJSON(response.Body, s.events)
	case mediaType == yamlType:
		return readYAML(response.Body)
	case mediaType == protobufType && parameters["stream"] == "watch":
		return readProtobufEvents(response.Body, s.events)
	case mediaType == protobufType:
		return readProtobuf(response.Body)
	default:
		return nil, nil
	}
}

// find is the value at a path such as items.0.metadata.uid.
func (a *answer) find(path string) (string, error) {
	if len(a.documents) == 0 {
		return "", fmt.Errorf("find %s: the answer %d has no object: %s", path, a.status, a.text)
	}
	at := a.documents[0]
	for part := range strings.SplitSeq(path, ".") {
		switch in := at.(type) {
		case map[string]any:
			at = in[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(in) {
				return "", fmt.Errorf("find %s: no element %s", path, part)
			}
			at = in[i]
		default:
			return "", fmt.Errorf("find %s: nothing at %s", path, part)
		}
	}
	if at == nil {
		return "", fmt.Errorf("find %s: nothing there in %v", path, a.documents[0])
	}
	return fmt.Sprint(at), nil
}

// show writes the answer as text, without what differs from run to run.
func (a *answer) show(n *normaliser) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d %s\n", a.status, http.StatusText(a.status))
	for _, name := range comparedHeaders {
		for _, value := range a.header[name] {
			fmt.Fprintf(&text, "%s: %s\n", name, n.text(value))
		}
	}
	for i, document := range a.documents {
		if i == 0 {
			text.WriteString("\n")
		}
		text.WriteString(render(n.document(document)) + "\n")
	}
	if a.text != "" {
		fmt.Fprintf(&text, "\n%s\n", n.text(a.text))
	}
	return text.String()
}
