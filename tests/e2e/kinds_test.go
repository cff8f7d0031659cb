package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"gatehouse/tests/manifests"
)

// kind is one that is served, and an object of it.
type kind struct {
	metav1.APIResource
	version schema.GroupVersion
	object  *unstructured.Unstructured
}

// String is how a test of the kind is called: "apps/v1 deployments".
func (k kind) String() string { return k.version.String() + " " + k.Name }

func (k kind) resource() schema.GroupVersionResource { return k.version.WithResource(k.Name) }

// in is the client for objects of the kind, in the default namespace if they have one.
func (k kind) in(client dynamic.Interface) dynamic.ResourceInterface {
	if k.Namespaced {
		return client.Resource(k.resource()).Namespace(metav1.NamespaceDefault)
	}
	return client.Resource(k.resource())
}

// path is where objects of the kind are found, in the default namespace if they have one.
func (k kind) path() string {
	path := "/apis/" + k.version.String()
	if k.version.Group == "" {
		path = "/api/" + k.version.Version
	}
	if k.Namespaced {
		path += "/namespaces/" + metav1.NamespaceDefault
	}
	return path + "/" + k.Name
}

// kinds joins what the server says it serves with the manifests, in the order of discovery. Every kind that can be created and
// read must have a manifest.
func kinds(t *testing.T, config *rest.Config) []kind {
	t.Helper()
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := client.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifests.Stored()
	if err != nil {
		t.Fatal(err)
	}
	var all []kind
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, resource := range list.APIResources {
			if strings.Contains(resource.Name, "/") || !slices.Contains(resource.Verbs, "create") || !slices.Contains(resource.Verbs, "get") {
				continue
			}
			of := slices.IndexFunc(objects, func(object *unstructured.Unstructured) bool {
				return object.GroupVersionKind() == version.WithKind(resource.Kind)
			})
			if of < 0 {
				t.Errorf("no manifest has the kind %s %s", version, resource.Kind)
				continue
			}
			all = append(all, kind{resource, version, objects[of]})
		}
	}
	if len(all) < len(objects) {
		t.Errorf("%d of %d manifests are of kinds that are not served", len(objects)-len(all), len(objects))
	}
	return all
}

// makeAccount makes the service account that a pod wants, and returns what deletes it: the manifest's own, which is a kind of its own,
// is not there yet when it is the pods' turn. Other kinds want none.
func makeAccount(t *testing.T, config *rest.Config, kind kind) (remove func()) {
	t.Helper()
	name, _, _ := unstructured.NestedString(kind.object.Object, "spec", "serviceAccountName")
	if kind.Name != "pods" || name == "" {
		return func() {}
	}
	accounts := typed(t, config).CoreV1().ServiceAccounts(metav1.NamespaceDefault)
	if _, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := accounts.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
}

// TestKindsAreKubeAPIServers creates an object of every kind and reads it as a table, and compares both answers with those
// recorded from kube-apiserver: defaults, owned fields and columns.
func TestKindsAreKubeAPIServers(t *testing.T) {
	const file = "testdata/kinds.txt"
	const table = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io"
	server := startAsRecorded(t)
	client := newPlain(t, server)
	var got strings.Builder
	for _, kind := range kinds(t, server.ClientConfig()) {
		body, err := kind.object.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		remove := makeAccount(t, server.ClientConfig(), kind)
		created := client.do(post, kind.path()+"?fieldManager=test", string(body), asJSON)
		remove()
		fmt.Fprintf(&got, "== %s, created\n%s\n", kind, steadyKind(describe(created)))
		read := client.do(get, kind.path()+"/"+kind.object.GetName(), "", table)
		fmt.Fprintf(&got, "== %s, as a table\n%s\n", kind, steadyKind(describe(read)))
	}
	compareRecorded(t, file, got.String())
}

// steadyKind replaces what the server chooses.
func steadyKind(text string) string {
	for _, replace := range []struct{ pattern, by string }{
		{`10\.(9[6-9]|1[01][0-9])\.\d+\.\d+`, "ADDRESS"},
		{`"nodePort":3[0-2]\d\d\d`, `"nodePort":PORT`},
		{`"(\d+s|(\d+y)?\d+d)"`, `"AGE"`}, // since creation, and since a time in the manifest
		{`X509SHA256=[0-9a-f]+`, "X509SHA256=CERTIFICATE"},
		{`80:3[0-2]\d\d\d/TCP`, "80:PORT/TCP"},
	} {
		text = regexp.MustCompile(replace.pattern).ReplaceAllString(text, replace.by)
	}
	return text
}
