package e2e

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1beta1 "k8s.io/apimachinery/pkg/apis/meta/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"

	"gatehouse/tests/harness"
)

// TestEveryKindIsTheSameInEveryEncoding reads an object of every kind, and a list of them, in each encoding and view: what is
// in them must not depend on it.
func TestEveryKindIsTheSameInEveryEncoding(t *testing.T) {
	// Controllers would change objects between two reads.
	server := harness.Start(t, harness.Options{Flags: []string{"--controllers=external"}})
	client := newPlain(t, server)
	decoder := newDecoder(t)
	for _, kind := range kinds(t, server.ClientConfig()) {
		t.Run(kind.String(), func(t *testing.T) {
			defer makeAccount(t, server.ClientConfig(), kind)()
			body, err := kind.object.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if created := client.do(post, kind.path(), string(body), asJSON); created.code != 201 {
				t.Fatalf("create: %d %s", created.code, created.body)
			}
			for _, path := range []string{kind.path() + "/" + kind.object.GetName(), kind.path()} {
				read := func(accept string) runtime.Object {
					t.Helper()
					answer := client.do(get, path, "", "Accept: "+accept)
					object, _, err := decoder.Decode([]byte(answer.body), nil, nil)
					if answer.code != 200 || err != nil {
						t.Fatalf("read as %s: %d, %v", accept, answer.code, err)
					}
					if list, is := object.(metav1.ListInterface); is {
						list.SetResourceVersion("") // the server's own objects are written meanwhile
					}
					return object
				}
				want := read("application/json")
				for _, accept := range []string{"application/vnd.kubernetes.protobuf", "application/yaml"} {
					if diff := cmp.Diff(want, read(accept), templatesHaveNoKind()); diff != "" {
						t.Errorf("%s is another in %s (-json +%s):\n%s", path, accept, accept, diff)
					}
				}
				compareMetadata(t, want, read)
			}
		})
	}
}

// templatesHaveNoKind is about the claims in a StatefulSet: upstream's protobuf leaves out their kind, which JSON has.
func templatesHaveNoKind() cmp.Option {
	return cmpopts.IgnoreFields(corev1.PersistentVolumeClaim{}, "TypeMeta")
}

// compareMetadata reads metadata alone, of one object or of a list.
func compareMetadata(t *testing.T, whole runtime.Object, read func(accept string) runtime.Object) {
	t.Helper()
	as := "PartialObjectMetadata"
	if meta.IsListType(whole) {
		as = "PartialObjectMetadataList"
	}
	for _, media := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		alone := read(media + ";as=" + as + ";g=meta.k8s.io;v=v1")
		if diff := cmp.Diff(metadataOf(t, whole), metadataOf(t, alone)); diff != "" {
			t.Errorf("metadata alone is another in %s (-whole +alone):\n%s", media, diff)
		}
	}
}

// metadataOf is that of an object, or of all in a list.
func metadataOf(t *testing.T, of runtime.Object) []metav1.ObjectMeta {
	t.Helper()
	objects := []runtime.Object{of}
	if meta.IsListType(of) {
		var err error
		if objects, err = meta.ExtractList(of); err != nil {
			t.Fatal(err)
		}
	}
	var all []metav1.ObjectMeta
	for _, object := range objects {
		accessor, ok := object.(metav1.ObjectMetaAccessor)
		if !ok {
			t.Fatalf("%T has no metadata", object)
		}
		one := *accessor.GetObjectMeta().(*metav1.ObjectMeta)
		if maps.DeleteFunc(one.Annotations, isMadeByConversion); len(one.Annotations) == 0 {
			one.Annotations = nil
		}
		all = append(all, one)
	}
	return all
}

// isMadeByConversion is true for annotations that upstream makes of what a version has no field for where it converts a whole
// object, and not where it takes the metadata alone.
func isMadeByConversion(annotation, _ string) bool {
	return annotation == appsv1.DeprecatedTemplateGeneration || strings.HasPrefix(annotation, "autoscaling.alpha.kubernetes.io/")
}

// newDecoder reads every kind in every encoding.
func newDecoder(t *testing.T) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	utilruntime.Must(clientscheme.AddToScheme(scheme))
	utilruntime.Must(metav1.AddMetaToScheme(scheme))
	utilruntime.Must(metav1beta1.AddMetaToScheme(scheme))
	return serializer.NewCodecFactory(scheme).UniversalDeserializer()
}
