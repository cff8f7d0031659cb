package authz

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"gatehouse/engine/files"
)

// logged hands each record's text to the test.
type logged struct{ records chan string }

func (logged) Enabled(context.Context, slog.Level) bool { return true }
func (l logged) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l logged) WithGroup(string) slog.Handler          { return l }

// Handle implements slog.Handler.
func (l logged) Handle(_ context.Context, record slog.Record) error {
	text := record.Message
	record.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	l.records <- text
	return nil
}

// newChain makes a chain with what options leave out, and the log of its files.
func newChain(t *testing.T, options Options, objects ...runtime.Object) (*Chain, chan string, error) {
	t.Helper()
	log := make(chan string, 100)
	options.Files = files.NewSet(slog.New(logged{log}))
	t.Cleanup(options.Files.Close)
	factory := informers.NewSharedInformerFactory(fake.NewClientset(objects...), 0)
	options.Informers = factory
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(factory.Shutdown)
	t.Cleanup(cancel)
	options.StartInformers = func() { factory.StartWithContext(ctx) }
	options.OpenPaths = []string{"/readyz"}
	chain, err := New(options)
	return chain, log, err
}

func mustChain(t *testing.T, options Options, objects ...runtime.Object) (*Chain, chan string) {
	t.Helper()
	chain, log, err := newChain(t, options, objects...)
	if err != nil {
		t.Fatal(err)
	}
	return chain, log
}

func named(name string, groups ...string) user.Info {
	return &user.DefaultInfo{Name: name, Groups: groups}
}

func getPods(who user.Info) authorizer.AttributesRecord {
	return authorizer.AttributesRecord{User: who, ResourceRequest: true, Verb: "get", APIVersion: "v1", Resource: "pods", Namespace: "default", Name: "a"}
}

func getPath(who user.Info, verb, path string) authorizer.AttributesRecord {
	return authorizer.AttributesRecord{User: who, Verb: verb, Path: path}
}

func decision(t *testing.T, chain *Chain, request authorizer.Attributes) authorizer.Decision {
	t.Helper()
	decided, _, err := chain.Authorize(t.Context(), request)
	if err != nil {
		t.Errorf("%v is %v, and an error: %v", request, decided, err)
	}
	return decided
}

// write replaces the file at path.
func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path+"~", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// next is what is logged next.
func next(t *testing.T, log chan string) string {
	t.Helper()
	select {
	case text := <-log:
		return text
	case <-t.Context().Done():
		t.Fatal("nothing is logged")
		return ""
	}
}

// service answers SubjectAccessReviews, and remembers what it was asked.
type service struct {
	*httptest.Server
	mu    sync.Mutex
	asked []authorizationv1.SubjectAccessReviewSpec // guarded by mu
}

func newService(t *testing.T, answer func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authorizationv1.SubjectAccessReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.asked = append(s.asked, review.Spec)
		s.mu.Unlock()
		review.Status = answer(review.Spec)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review) // a client that is gone reports it itself
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// kubeconfig writes a file that leads to the service.
func (s *service) kubeconfig(t *testing.T, path string) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["service"] = &clientcmdapi.Cluster{Server: s.URL, InsecureSkipTLSVerify: true}
	config.Contexts["service"] = &clientcmdapi.Context{Cluster: "service"}
	config.CurrentContext = "service"
	content, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, path, string(content))
}

// byName allows and denies users who are called so.
func byName(spec authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
	return authorizationv1.SubjectAccessReviewStatus{
		Allowed: spec.User == "allowed", Denied: spec.User == "denied", Reason: "the service says so of " + spec.User,
	}
}

func temp(t *testing.T, name string) string { return filepath.Join(t.TempDir(), name) }
