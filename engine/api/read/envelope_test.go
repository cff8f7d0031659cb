package read

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"gatehouse/engine/objects/cache"
)

// samples are objects that differ in what envelopes depend on: kind, group, size, and whether there is anything in them.
var samples = []struct {
	name   string
	kind   schema.GroupVersionKind
	object func() runtime.Object
}{
	{"an object of the core group", corev1.SchemeGroupVersion.WithKind("ConfigMap"), func() runtime.Object {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Data: map[string]string{"a": "<b>\n"}}
	}},
	{"an object of a named group", appsv1.SchemeGroupVersion.WithKind("Deployment"), func() runtime.Object {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"}}
	}},
	{"an object whose size takes several bytes", corev1.SchemeGroupVersion.WithKind("Secret"), func() runtime.Object {
		return &corev1.Secret{Data: map[string][]byte{"key": bytes.Repeat([]byte{0xff, 0}, 20_000)}}
	}},
	{"an object of nothing but its kind", metav1.Unversioned.WithKind("Status"), func() runtime.Object { return &metav1.Status{} }},
}

func newTestEncoders(t *testing.T, version schema.GroupVersion) encoders {
	t.Helper()
	made, err := newEncoders(scheme.Codecs, version)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func encode(t *testing.T, encoder runtime.Encoder, object runtime.Object) string {
	t.Helper()
	encoded, err := runtime.Encode(encoder, object)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

var encodingNames = map[cache.Encoding]string{cache.JSON: "JSON", cache.Protobuf: "protobuf"}

func TestAnItemInItsEnvelopeIsWhatUpstreamEncodes(t *testing.T) {
	for _, sample := range samples {
		for encoding, name := range encodingNames {
			t.Run(sample.name+" in "+name, func(t *testing.T) {
				around, err := newEnvelope(sample.kind)
				if err != nil {
					t.Fatal(err)
				}
				encoders := newTestEncoders(t, sample.kind.GroupVersion())
				item, err := around.encode(encoders, sample.object(), encoding)
				if err != nil {
					t.Fatal(err)
				}
				want := encode(t, encoders[encoding], sample.object())
				if diff := cmp.Diff(want, string(around.append(nil, cache.NewForm(item), encoding))); diff != "" {
					t.Errorf("in its envelope (-upstream +ours):\n%s", diff)
				}
				if size := (single{around, cache.NewForm(item), encoding}).length(); size != len(want) {
					t.Errorf("its length is told as %d and is %d", size, len(want))
				}
			})
		}
	}
}

func TestAFrameIsWhatUpstreamEncodes(t *testing.T) {
	for _, sample := range samples {
		for encoding, mediaType := range map[cache.Encoding]string{cache.JSON: runtime.ContentTypeJSON, cache.Protobuf: runtime.ContentTypeProtobuf} {
			t.Run(sample.name+" in "+encodingNames[encoding], func(t *testing.T) {
				around, err := newEnvelope(sample.kind)
				if err != nil {
					t.Fatal(err)
				}
				encoders := newTestEncoders(t, sample.kind.GroupVersion())
				item, err := around.encode(encoders, sample.object(), encoding)
				if err != nil {
					t.Fatal(err)
				}
				info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), mediaType)
				var want bytes.Buffer
				event := &metav1.WatchEvent{Type: "MODIFIED", Object: runtime.RawExtension{Raw: []byte(encode(t, encoders[encoding], sample.object()))}}
				framed := info.StreamSerializer.Framer.NewFrameWriter(&want)
				if _, err := framed.Write([]byte(encode(t, info.StreamSerializer.Serializer, event))); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want.String(), string(around.appendFrame(nil, "MODIFIED", cache.NewForm(item), encoding))); diff != "" {
					t.Errorf("frame (-upstream +ours):\n%s", diff)
				}
			})
		}
	}
}

func TestASplicedListIsWhatUpstreamEncodes(t *testing.T) {
	kind := corev1.SchemeGroupVersion.WithKind("ConfigMap")
	s, err := newObjectShape(scheme.Codecs, kind, corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
	if err != nil {
		t.Fatal(err)
	}
	encoders := newTestEncoders(t, kind.GroupVersion())
	remaining := int64(7)
	for _, test := range []struct {
		name  string
		meta  metav1.ListMeta
		items []corev1.ConfigMap
	}{
		{"of nothing", metav1.ListMeta{ResourceVersion: "1"}, []corev1.ConfigMap{}},
		{"of one", metav1.ListMeta{ResourceVersion: "12"}, []corev1.ConfigMap{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}}},
		{"of several that goes on", metav1.ListMeta{ResourceVersion: "123", Continue: "<&>", RemainingItemCount: &remaining}, []corev1.ConfigMap{
			{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, {Data: map[string]string{"k": string(bytes.Repeat([]byte("x"), 300))}}, {},
		}},
	} {
		for encoding, name := range encodingNames {
			t.Run(test.name+" in "+name, func(t *testing.T) {
				var items []cache.Form
				for i := range test.items {
					item, err := s.version.Encode(test.items[i].DeepCopy(), encoding)
					if err != nil {
						t.Fatal(err)
					}
					items = append(items, cache.NewForm(item))
				}
				list, err := s.splice(encoding, &test.meta, items)
				if err != nil {
					t.Fatal(err)
				}
				var got bytes.Buffer
				if err := gather(&got, list, make([]byte, 0, 16)); err != nil {
					t.Fatal(err)
				}
				want := encode(t, encoders[encoding], &corev1.ConfigMapList{ListMeta: test.meta, Items: test.items})
				if diff := cmp.Diff(want, got.String()); diff != "" {
					t.Errorf("list (-upstream +ours):\n%s", diff)
				}
				if list.length() != len(want) {
					t.Errorf("its length is told as %d and is %d", list.length(), len(want))
				}
			})
		}
	}
}

func TestWhatIsOfAnotherKindIsNotCut(t *testing.T) {
	pod, err := newEnvelope(corev1.SchemeGroupVersion.WithKind("Pod"))
	if err != nil {
		t.Fatal(err)
	}
	encoders := newTestEncoders(t, corev1.SchemeGroupVersion)
	for encoding, name := range encodingNames {
		t.Run(name, func(t *testing.T) {
			if item, err := pod.encode(encoders, &corev1.PodTemplate{}, encoding); err == nil {
				t.Errorf("a PodTemplate was cut as a Pod: %q", item)
			}
		})
	}
}

// FuzzCutting holds that cutting finds nothing but what appending puts back to the same bytes.
func FuzzCutting(f *testing.F) {
	kind := corev1.SchemeGroupVersion.WithKind("ConfigMap")
	around, err := newEnvelope(kind)
	if err != nil {
		f.Fatal(err)
	}
	for _, item := range []string{"", "{}", `{"data":{}}`, string(bytes.Repeat([]byte("x"), 200))} {
		f.Add(around.appendProtobuf(nil, cache.NewForm([]byte(item))))
		if item != "" {
			f.Add(around.appendJSON(nil, cache.NewForm([]byte(item))))
		}
	}
	f.Add(append(around.beginProtobuf(nil, 1<<40), protobufTail[:]...))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		if item, err := around.cutProtobuf(encoded); err == nil && !bytes.Equal(around.appendProtobuf(nil, cache.NewForm(item)), encoded) {
			// A size can be written in more bytes than it needs, which upstream never does.
			if again, err := around.cutProtobuf(around.appendProtobuf(nil, cache.NewForm(item))); err != nil || !bytes.Equal(again, item) {
				t.Errorf("%q was cut to %q, which does not come back: %v", encoded, item, err)
			}
		}
		trimmed := bytes.TrimSuffix(encoded, []byte("\n"))
		if item, err := around.cutJSON(encoded); err == nil && !bytes.Equal(around.appendJSON(nil, cache.NewForm(item)), trimmed) {
			t.Errorf("%q was cut to %q, which does not come back", encoded, item)
		}
	})
}
