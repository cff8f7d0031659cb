// Package plugintest helps test plugins: it compiles guests written in Go, and takes writes of Pods through a host's two
// phases as the server does.
package plugintest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install" // Pods' conversion and defaults

	"gatehouse/plugins"
)

// BuildGo compiles the Go guest in dir, which is a module of its own, with the Go toolchain that runs the test.
func BuildGo(t testing.TB, dir string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("compile %s: %v\n%s", dir, err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// Pod is a Pod in the server's internal version.
func Pod(labels map[string]string) *core.Pod {
	return &core.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", Labels: labels},
		Spec:       core.PodSpec{Containers: []core.Container{{Name: "c", Image: "nginx"}}},
	}
}

// Create is the creation of a Pod by jane.
func Create(pod *core.Pod) admission.Attributes {
	return admission.NewAttributesRecord(pod, nil, podKind(), pod.Namespace, pod.Name, pods(), "", admission.Create,
		&metav1.CreateOptions{}, false, jane())
}

// CreateSecret is the creation of a Secret by jane.
func CreateSecret(secret *core.Secret) admission.Attributes {
	return admission.NewAttributesRecord(secret, nil, schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, secret.Namespace, secret.Name,
		schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, "", admission.Create, &metav1.CreateOptions{}, false, jane())
}

// Update is the replacement of a Pod by jane.
func Update(pod, old *core.Pod) admission.Attributes {
	return admission.NewAttributesRecord(pod, old, podKind(), pod.Namespace, pod.Name, pods(), "", admission.Update,
		&metav1.UpdateOptions{}, false, jane())
}

// Delete is the deletion of a Pod by jane.
func Delete(pod *core.Pod) admission.Attributes {
	return admission.NewAttributesRecord(nil, pod, podKind(), pod.Namespace, pod.Name, pods(), "", admission.Delete,
		&metav1.DeleteOptions{}, false, jane())
}

// Exec is a command that jane runs in a Pod.
func Exec(pod *core.Pod) admission.Attributes {
	return admission.NewAttributesRecord(&core.PodExecOptions{}, nil, schema.GroupVersionKind{Version: "v1", Kind: "PodExecOptions"},
		pod.Namespace, pod.Name, pods(), "exec", admission.Connect, nil, false, jane())
}

func pods() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "pods"}
}

func podKind() schema.GroupVersionKind { return schema.GroupVersionKind{Version: "v1", Kind: "Pod"} }

func jane() user.Info { return &user.DefaultInfo{Name: "jane", Groups: []string{"devs"}} }

// Admit takes a write through a host's phases; patches change its object.
func Admit(ctx context.Context, set *plugins.Set, a admission.Attributes) error {
	chain := admission.NewChainHandler(set.Admission(plugins.Selection{}))
	objects := admission.NewObjectInterfacesFromScheme(legacyscheme.Scheme)
	if err := chain.Admit(ctx, a, objects); err != nil {
		return err
	}
	return chain.Validate(ctx, a, objects)
}

// Fate is what a client sees of Admit's error: its code, reason and message, or "allowed".
func Fate(err error) string {
	if err == nil {
		return "allowed"
	}
	status, ok := err.(apierrors.APIStatus)
	if !ok {
		return fmt.Sprintf("no status: %v", err)
	}
	return fmt.Sprintf("%d %s: %s", status.Status().Code, status.Status().Reason, status.Status().Message)
}

// Warnings records what a client is warned of, by one request at a time.
type Warnings struct{ Texts []string }

// AddWarning implements warning.Recorder.
func (w *Warnings) AddWarning(_, text string) { w.Texts = append(w.Texts, text) }

// Context makes a request's context whose warnings are recorded.
func (w *Warnings) Context(ctx context.Context) context.Context {
	return warning.WithWarningRecorder(ctx, w)
}

// Log is a buffer for a host's log, which several goroutines write. The zero value is ready.
type Log struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is what has been written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
