package catalog

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	api "k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	podrest "k8s.io/kubernetes/pkg/registry/core/pod/rest"

	"gatehouse/engine/logs"
)

// Self is the Pod that stands for this server. It runs on no node: what a kubelet would be asked about it, the server answers.
type Self struct {
	Namespace, Pod, Container string
	// Log is the end of the server's log.
	Log *logs.Ring
}

// called says whether a request is about a pod of the server's name.
func (s Self) called(ctx context.Context, name string) bool {
	return name == s.Pod && request.NamespaceValue(ctx) == s.Namespace
}

// selfLog is the log of pods, of which one is the server.
type selfLog struct {
	*podrest.LogREST
	self Self
}

var (
	_ rest.GetterWithOptions = (*selfLog)(nil)
	_ rest.StorageMetadata   = (*selfLog)(nil)
)

// Get implements rest.GetterWithOptions.
func (l *selfLog) Get(ctx context.Context, name string, options runtime.Object) (runtime.Object, error) {
	if !l.self.called(ctx, name) {
		return l.LogREST.Get(ctx, name, options)
	}
	found, err := l.Store.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	wanted, ok := options.(*api.PodLogOptions)
	if pod, isPod := found.(*api.Pod); !ok || !isPod || pod.Spec.NodeName != "" {
		return l.LogREST.Get(ctx, name, options) // somebody's own pod, on a node
	}
	if errs := validation.ValidatePodLogOptions(wanted, false); len(errs) > 0 {
		return nil, apierrors.NewInvalid(api.Kind("PodLogOptions"), name, errs)
	}
	switch {
	case wanted.Container != "" && wanted.Container != l.self.Container:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", wanted.Container, name))
	case wanted.Previous:
		// As kubelets say it.
		return nil, apierrors.NewBadRequest(fmt.Sprintf("previous terminated container %q in pod %q not found", l.self.Container, name))
	}
	return &logStream{ring: l.self.Log, options: logOptions(wanted), follow: wanted.Follow}, nil
}

func logOptions(wanted *api.PodLogOptions) logs.Options {
	options := logs.Options{
		Follow: wanted.Follow, Timestamps: wanted.Timestamps, Tail: wanted.TailLines, LimitBytes: wanted.LimitBytes,
	}
	switch {
	case wanted.SinceSeconds != nil:
		options.Since = time.Now().Add(-time.Duration(*wanted.SinceSeconds) * time.Second)
	case wanted.SinceTime != nil:
		options.Since = wanted.SinceTime.Time
	}
	return options
}

// logStream is an object that is streamed.
type logStream struct {
	ring    *logs.Ring
	options logs.Options
	follow  bool
}

var _ rest.ResourceStreamer = (*logStream)(nil)

// InputStream implements rest.ResourceStreamer.
func (s *logStream) InputStream(ctx context.Context, _, _ string) (io.ReadCloser, bool, string, error) {
	return s.ring.Open(ctx, s.options), s.follow, "text/plain", nil
}

// GetObjectKind implements runtime.Object.
func (s *logStream) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. What is streamed has no other state than the log's.
func (s *logStream) DeepCopyObject() runtime.Object {
	same := *s
	return &same
}

// connecter is a subresource whose connections upstream passes on.
type connecter interface {
	rest.Storage
	rest.Connecter
}

// selfConnect is a subresource that connects with pods, of which one is the server.
type selfConnect struct {
	connecter
	self Self
}

// Connect implements rest.Connecter. Upstream's refusal, for lack of a node, is told in words that help.
func (c *selfConnect) Connect(ctx context.Context, name string, options runtime.Object, responder rest.Responder) (http.Handler, error) {
	handler, err := c.connecter.Connect(ctx, name, options, responder)
	if err != nil && apierrors.IsBadRequest(err) && c.self.called(ctx, name) {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("pod %s is this API server, which runs in no container: there is nothing to "+
			"connect with; its log can be read with kubectl logs -n %s %s", name, c.self.Namespace, name))
	}
	return handler, err
}
