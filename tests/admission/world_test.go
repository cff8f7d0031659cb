package admission

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"gatehouse/tests/harness"
)

const (
	// patience bounds every wait for something that must come, and pause is between two looks.
	patience = time.Minute
	pause    = 20 * time.Millisecond
)

// world is a server and its administrator's client.
type world struct {
	*harness.Server
	*kubernetes.Clientset
	config *rest.Config
	// warnings are what the server told this client besides its answers.
	warnings *warnings
}

// start runs a server with flags.
func start(t *testing.T, flags ...string) *world {
	t.Helper()
	w := &world{Server: harness.Start(t, harness.Options{Flags: flags}), warnings: &warnings{}}
	w.config = w.ClientConfig()
	w.config.WarningHandler = w.warnings
	w.Clientset = clientFor(t, w.config)
	return w
}

func clientFor(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// as is a client of somebody whom the administrator impersonates.
func (w *world) as(t *testing.T, user string, groups ...string) *kubernetes.Clientset {
	config := rest.CopyConfig(w.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return clientFor(t, config)
}

// namespace makes a namespace that pods are let into.
func (w *world) namespace(t *testing.T, name string, labels map[string]string) string {
	t.Helper()
	mustMake(t, w.CoreV1().Namespaces().Create, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
	eventually(t, "the namespace has its service account", func() bool {
		_, err := w.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	})
	return name
}

// mustMake creates an object that must be accepted.
func mustMake[T any](t *testing.T, create func(context.Context, T, metav1.CreateOptions) (T, error), object T) T {
	t.Helper()
	made, err := create(t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// mustRefuse creates an object that must be refused for a reason that contains want.
func mustRefuse[T any](t *testing.T, create func(context.Context, T, metav1.CreateOptions) (T, error), object T, want string) {
	t.Helper()
	_, err := create(t.Context(), object, metav1.CreateOptions{})
	wantError(t, err, want)
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is\n\t%v\nwant one that contains\n\t%s", err, want)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), pause, patience, true, func(context.Context) (bool, error) { return holds(), nil })
	if err != nil {
		t.Fatalf("%s: not within %s", what, patience)
	}
}

// file writes a file for the server to read.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pod is one that nobody objects to.
func pod(name string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "example.org/c:1"}}},
	}
	if change != nil {
		change(p)
	}
	return p
}

func settings(name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

func amounts(pairs ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		list[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

func isRefused(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) }

// warnings collects what a server warns of. It is safe for concurrent use.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

// take returns what was warned of since it was last called.
func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	texts := w.texts
	w.texts = nil
	return texts
}
