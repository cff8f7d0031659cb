package capability_test

import (
	"context"
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/plugins/capability"
)

// world holds one object of each name but "nothing", and tells how it was asked.
type world struct{}

func (world) Get(_ context.Context, kind schema.GroupVersionKind, namespace, name string, maxBytes int64) ([]byte, error) {
	if name == "nothing" {
		return nil, nil
	}
	return fmt.Appendf(nil, `{"kind":%q,"at":%q,"maxBytes":%d}`, kind.String(), namespace+"/"+name, maxBytes), nil
}

func (world) List(_ context.Context, kind schema.GroupVersionKind, namespace, selector string, maxObjects int, maxBytes int64) ([]byte, error) {
	return fmt.Appendf(nil, `{"kind":%q,"in":%q,"selector":%q,"maxObjects":%d,"maxBytes":%d}`,
		kind.String(), namespace, selector, maxObjects, maxBytes), nil
}

func (world) Changed(context.Context, schema.GroupVersionKind) (int64, error) { return 0, nil }

const someObjects = `
k8s:
  objects:
  - {apiVersion: v1, kind: Namespace}
  - {apiVersion: apps/v1, kind: Deployment, namespaces: [default, team-*]}
  - {apiVersion: v1, kind: ConfigMap, namespaces: [policies], names: [registries]}
  maxObjects: 7
  maxBytes: 1Ki
`

func TestObjectsAreReadAsFarAsTheyAreGranted(t *testing.T) {
	o := granted(t, capability.Host{Objects: world{}}, someObjects)
	for _, test := range []struct{ name, operation, payload, want string }{
		{"one that lives in no namespace", "k8s.get", `{"apiVersion":"v1","kind":"Namespace","name":"a"}`,
			`{"found":true,"object":{"kind":"/v1, Kind=Namespace","at":"/a","maxBytes":1024}}`},
		{"one that is not there", "k8s.get", `{"apiVersion":"v1","kind":"Namespace","name":"nothing"}`, `{"found":false}`},
		{"one in a namespace", "k8s.get", `{"apiVersion":"apps/v1","kind":"Deployment","namespace":"default","name":"a"}`, `{"found":true,…`},
		{"one in a namespace of the pattern", "k8s.get", `{"apiVersion":"apps/v1","kind":"Deployment","namespace":"team-a","name":"a"}`, `{"found":true,…`},
		{"one in another namespace", "k8s.get", `{"apiVersion":"apps/v1","kind":"Deployment","namespace":"kube-system","name":"a"}`,
			"error: the Deployment \"a\" in the namespace \"kube-system\" of apps/v1 is not granted to this plugin: " +
				"add to capabilities.k8s.objects of its YAML file the line `- {apiVersion: apps/v1, kind: Deployment, namespaces: [kube-system]}`"},
		{"one in no namespace where some are granted", "k8s.get", `{"apiVersion":"apps/v1","kind":"Deployment","name":"a"}`, `…is not granted`},
		{"one of another version", "k8s.get", `{"apiVersion":"apps/v1beta1","kind":"Deployment","namespace":"default","name":"a"}`, `…is not granted`},
		{"one of a kind of the same name elsewhere", "k8s.get", `{"apiVersion":"example.com/v1","kind":"Namespace","name":"a"}`, `…is not granted`},
		{"a secret that nobody named", "k8s.get", `{"apiVersion":"v1","kind":"Secret","namespace":"default","name":"a"}`, `…is not granted`},
		{"one by its name", "k8s.get", `{"apiVersion":"v1","kind":"ConfigMap","namespace":"policies","name":"registries"}`, `{"found":true,…`},
		{"one of another name", "k8s.get", `{"apiVersion":"v1","kind":"ConfigMap","namespace":"policies","name":"other"}`, `…is not granted`},
		{"all where names are granted", "k8s.list", `{"apiVersion":"v1","kind":"ConfigMap","namespace":"policies"}`, `…is not granted`},
		{"all of a kind", "k8s.list", `{"apiVersion":"v1","kind":"Namespace","labelSelector":"a=b"}`,
			`{"kind":"/v1, Kind=Namespace","in":"","selector":"a=b","maxObjects":7,"maxBytes":1024}`},
		{"all of a namespace", "k8s.list", `{"apiVersion":"apps/v1","kind":"Deployment","namespace":"team-b"}`, `{"kind":"apps/v1, Kind=Deployment","in":"team-b",…`},
		{"all of every namespace where some are granted", "k8s.list", `{"apiVersion":"apps/v1","kind":"Deployment"}`, `error: every Deployment of apps/v1 is not granted …`},
		{"a name that leads elsewhere", "k8s.get", `{"apiVersion":"v1","kind":"Namespace","name":".."}`, `error: the name ".." may not be '..'`},
		{"a name with a slash", "k8s.get", `{"apiVersion":"v1","kind":"Namespace","name":"a/status"}`, `error: the name "a/status" may not contain '/'`},
		{"a namespace with a slash", "k8s.get", `{"apiVersion":"apps/v1","kind":"Deployment","namespace":"team-a/../b","name":"a"}`,
			`error: the namespace "team-a/../b" is none: …`},
		{"no name", "k8s.get", `{"apiVersion":"v1","kind":"Namespace"}`, "error: name is missing"},
		{"no kind", "k8s.get", `{"apiVersion":"v1","name":"a"}`, `error: apiVersion "v1" and kind "" name no kind`},
		{"a list with a name", "k8s.list", `{"apiVersion":"v1","kind":"Namespace","name":"a"}`, "error: name is for k8s.get"},
		{"an object with a selector", "k8s.get", `{"apiVersion":"v1","kind":"Namespace","name":"a","labelSelector":"a"}`, "error: labelSelector is for k8s.list"},
		{"a selector that is none", "k8s.list", `{"apiVersion":"v1","kind":"Namespace","labelSelector":"a in"}`, "error: labelSelector: …"},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, test.payload, o.ask(test.operation, test.payload), test.want) })
	}
}

func TestASecretIsReadByWhomItIsGranted(t *testing.T) {
	o := granted(t, capability.Host{Objects: world{}}, "{k8s: {objects: [{apiVersion: v1, kind: Secret, namespaces: [policies]}]}}")
	expect(t, "named", o.ask("k8s.get", `{"apiVersion":"v1","kind":"Secret","namespace":"policies","name":"a"}`), `{"found":true,…`)
	expect(t, "bounds by default", o.ask("k8s.list", `{"apiVersion":"v1","kind":"Secret","namespace":"policies"}`), `…"maxObjects":500,"maxBytes":1048576}`)
}

func TestWithoutAServerNothingIsRead(t *testing.T) {
	o := granted(t, capability.Host{}, someObjects)
	expect(t, "no server", o.ask("k8s.get", `{"apiVersion":"v1","kind":"Namespace","name":"a"}`), "error: there are no objects to read here")
}
