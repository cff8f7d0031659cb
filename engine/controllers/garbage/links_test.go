package garbage

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
)

var compareLinks = []cmp.Option{cmp.AllowUnexported(links{}), cmpopts.EquateEmpty()}

func linkedMetadata() metav1.ObjectMeta {
	now := metav1.Now().Rfc3339Copy()
	return metav1.ObjectMeta{
		Name: "n", Namespace: "ns", UID: "uid", DeletionTimestamp: &now, Finalizers: []string{metav1.FinalizerDeleteDependents, "example.org/x"},
		Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"}, Generation: 7,
		OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "1", Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)},
			{APIVersion: "v1", Kind: "ConfigMap", Name: "c", UID: "2", BlockOwnerDeletion: ptr.To(false)},
			{APIVersion: "v1", Kind: "Secret", Name: "", UID: ""},
		},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m", FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:x":{}}`)}}},
	}
}

// TestLinksAreFoundHoweverAnObjectIsStored writes objects of every kind that there is, in each encoding.
func TestLinksAreFoundHoweverAnObjectIsStored(t *testing.T) {
	stored := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	checked := 0
	for kind := range scheme.Scheme.AllKnownTypes() {
		object, err := scheme.Scheme.New(kind)
		if err != nil {
			t.Fatal(err)
		}
		holder, ok := object.(metav1.ObjectMetaAccessor)
		message, inProtobuf := object.(interface{ Marshal() ([]byte, error) })
		if !ok || !inProtobuf {
			continue // lists, options and what is internal
		}
		checked++
		*holder.GetObjectMeta().(*metav1.ObjectMeta) = linkedMetadata()
		object.GetObjectKind().SetGroupVersionKind(kind)
		want, err := linksOfObject(object)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := message.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		enveloped, err := runtime.Encode(runtime.NewCodec(stored, nil), object)
		if err != nil {
			t.Fatal(err)
		}
		inJSON, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{"alone": alone, "enveloped": enveloped, "JSON": inJSON} {
			got, err := readLinks(content)
			if err != nil {
				t.Errorf("%s, %s: %v", kind, name, err)
			} else if diff := cmp.Diff(want, got, compareLinks...); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", kind, name, diff)
			}
		}
	}
	if checked < 50 {
		t.Errorf("looked at %d kinds only", checked)
	}
}

// FuzzReadLinks finds in whatever can be decoded what decoding finds, and panics at nothing.
func FuzzReadLinks(f *testing.F) {
	whole, err := (&corev1.ConfigMap{ObjectMeta: linkedMetadata()}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(`{"metadata":{"uid":"u","ownerReferences":[{"uid":"o"}]}}`))
	f.Add([]byte(protobufPrefix + "\x12\x02\x0a\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := readLinks(content)
		if err != nil || bytes.HasPrefix(content, []byte("{")) || bytes.HasPrefix(content, []byte(protobufPrefix)) {
			return
		}
		var decoded corev1.ConfigMap
		if decoded.Unmarshal(content) != nil || bytes.Count(content, []byte{0x0a}) > 1 {
			return // nobody writes metadata twice, and the last of it would count
		}
		want, err := linksOfObject(&decoded)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, compareLinks...); diff != "" {
			t.Errorf("(-decoded +read):\n%s", diff)
		}
	})
}
