package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"gatehouse/tests/harness"
)

// withPlugin starts a server that has the plugin in testdata/name.
func withPlugin(t *testing.T, name string) *harness.Server {
	t.Helper()
	wasm, err := harness.Plugin(t.Context(), "tests/e2e/testdata/"+name)
	harness.SkipMissing(t, err)
	dir := t.TempDir()
	for source, target := range map[string]string{wasm: name + ".wasm", filepath.Join("testdata", name, name+".yaml"): name + ".yaml"} {
		content, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, target), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return harness.Start(t, harness.Options{Flags: []string{"--plugins", dir}})
}

// asking is a server with the plugin asking, and how a test speaks to it.
type asking struct {
	t      *testing.T
	client *kubernetes.Clientset
}

func (a asking) namespace(name string, labels map[string]string) {
	a.t.Helper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	if _, err := a.client.CoreV1().Namespaces().Create(a.t.Context(), n, metav1.CreateOptions{}); err != nil {
		a.t.Fatal(err)
	}
}

// create is what becomes of a ConfigMap: "allowed", or the message that it is refused with.
func (a asking) create(namespace string, data map[string]string) string {
	a.t.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "a-"}, Data: data}
	_, err := a.client.CoreV1().ConfigMaps(namespace).Create(a.t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		return strings.TrimPrefix(err.Error(), `admission plugin "asking" denied the request: `)
	}
	return "allowed"
}

// ask is what the server answers the plugin.
func (a asking) ask(operation, payload string) string {
	a.t.Helper()
	return a.create("default", map[string]string{"ask": operation, "with": payload})
}

func (a asking) expect(what, got, want string) {
	a.t.Helper()
	part, inside := strings.CutPrefix(want, "…")
	if inside && !strings.Contains(got, part) || !inside && got != want {
		a.t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

func TestAPluginAsksTheServer(t *testing.T) {
	server := withPlugin(t, "asking")
	a := asking{t, typed(t, server.ClientConfig())}
	a.namespace("cold", map[string]string{"frozen": "true"})
	a.namespace("warm", map[string]string{"frozen": "false"})

	t.Run("and decides by a namespace's label, as it is at that moment", func(t *testing.T) {
		a := asking{t, a.client}
		a.expect("frozen", a.create("cold", nil), "the namespace is frozen")
		a.expect("not frozen", a.create("warm", nil), "allowed")
		patch := []byte(`{"metadata":{"labels":{"frozen":"true"}}}`)
		if _, err := a.client.CoreV1().Namespaces().Patch(t.Context(), "warm", "application/merge-patch+json", patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		a.expect("frozen by now", a.create("warm", nil), "the namespace is frozen")
	})
	t.Run("for objects as far as it may have them", func(t *testing.T) {
		a := asking{t, a.client}
		for _, test := range []struct{ what, operation, payload, want string }{
			{"an object", "k8s.get", `{"apiVersion":"v1","kind":"Namespace","name":"cold"}`, `…{"found":true,"object":{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"cold",`},
			{"none", "k8s.get", `{"apiVersion":"v1","kind":"Namespace","name":"none"}`, `{"found":false}`},
			{"a secret", "k8s.get", `{"apiVersion":"v1","kind":"Secret","namespace":"default","name":"a"}`,
				"…failure: host call k8s.get: the Secret \"a\" in the namespace \"default\" of v1 is not granted"},
			{"some", "k8s.list", `{"apiVersion":"v1","kind":"Namespace","labelSelector":"frozen=true"}`, `…{"kind":"NamespaceList","apiVersion":"v1","metadata":{"resourceVersion":`},
			{"too many", "k8s.list", `{"apiVersion":"v1","kind":"Namespace"}`, "…there are more than the 3 objects of capabilities.k8s.maxObjects"},
			{"too much", "k8s.get", `{"apiVersion":"v1","kind":"ConfigMap","namespace":"default","name":"kube-root-ca.crt.large"}`, "…the answer has more than the 4096 bytes"},
			{"one without its namespace", "k8s.get", `{"apiVersion":"v1","kind":"Namespace","namespace":"default","name":"default"}`, "…a Namespace is in no namespace: leave it out"},
		} {
			if test.what == "too much" {
				large := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kube-root-ca.crt.large"}, Data: map[string]string{"a": strings.Repeat("x", 4096)}}
				if _, err := a.client.CoreV1().ConfigMaps("default").Create(t.Context(), large, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			a.expect(test.what, a.ask(test.operation, test.payload), test.want)
		}
	})
	t.Run("who may do what", func(t *testing.T) {
		a := asking{t, a.client}
		a.expect("somebody", a.ask("authz.can_i", `{"user":"jane","resourceAttributes":{"verb":"get","resource":"pods","namespace":"default"}}`), `{"allowed":false}`)
		a.expect("the master", a.ask("authz.can_i", `{"user":"root","groups":["system:masters"],"resourceAttributes":{"verb":"get","resource":"pods"}}`), `{"allowed":true}`)
		a.expect("nobody", a.ask("authz.can_i", `{"resourceAttributes":{"verb":"get","resource":"pods"}}`), "…at least one of user or group must be specified")
	})
	t.Run("nothing that is not granted", func(t *testing.T) {
		a := asking{t, a.client}
		a.expect("a URL", a.ask("http.fetch", `{"url":"https://example.com/"}`),
			"failure: host call http.fetch: is not granted to this plugin: add to asking.yaml the line `capabilities: {http: {urls: [https://example.com/path/]}}`")
		a.expect("what there is not", a.ask("fs.read", "{}"), `failure: unknown host call "fs.read"`)
	})
	t.Run("to keep something", func(t *testing.T) {
		a := asking{t, a.client}
		a.expect("set", a.ask("cache.set", `{"key":"a","value":[1]}`), "{}")
		a.expect("get", a.ask("cache.get", `{"key":"a"}`), `{"found":true,"value":[1]}`)
	})
	t.Run("and is not asked its own question", func(t *testing.T) { ownQuestion(t, a.client, server.ClientConfig()) })
}

// ownQuestion has joe, about whom the plugin asks when it is asked, do something: before and after he may.
func ownQuestion(t *testing.T, client *kubernetes.Clientset, config *rest.Config) {
	config.Impersonate.UserName = "joe"
	joe := typed(t, config)
	for _, may := range []bool{false, true} {
		if may {
			binding := &rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: "joe"},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
				Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "joe"}},
			}
			if _, err := client.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := joe.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
		want := fmt.Sprintf(`authorization plugin "asking" denied the request: without me it would be {"allowed":%v`, may)
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("joe may: %v; got %v, want %s", may, err, want)
		}
	}
}
