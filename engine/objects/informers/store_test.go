package informers

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientcache "k8s.io/client-go/tools/cache"

	"gatehouse/engine/objects/cache"
)

func namesOf(all []any) []string {
	names := []string{}
	for _, object := range all {
		accessor := object.(metav1.Object)
		names = append(names, strings.TrimPrefix(accessor.GetNamespace()+"/"+accessor.GetName(), "/"))
	}
	return names
}

func TestListersSeeAWriteAsSoonAsItIsAcknowledged(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	pods := h.Core().V1().Pods().Lister().Pods("ns") // never started
	if _, err := pods.Get("a"); !apierrors.IsNotFound(err) {
		t.Errorf("get a pod that is not there: %v, want not found", err)
	}
	for round := range 50 {
		revision := h.putPod(t, "a", fmt.Sprint(round))
		pod, err := pods.Get("a")
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint(revision); pod.ResourceVersion != want || pod.Status.Phase != corev1.PodPhase(fmt.Sprint(round)) {
			t.Fatalf("after revision %s was acknowledged, the lister shows %s", want, told(pod))
		}
		if listed, err := pods.List(labels.Everything()); err != nil || len(listed) != 1 || listed[0].ResourceVersion != pod.ResourceVersion {
			t.Fatalf("the list is %v, %v", listed, err)
		}
	}
	h.removePod(t, "a")
	if _, err := pods.Get("a"); !apierrors.IsNotFound(err) {
		t.Errorf("get a pod that was deleted: %v, want not found", err)
	}
	if listed, err := pods.List(labels.Everything()); err != nil || len(listed) != 0 {
		t.Errorf("the list is %v, %v, want none", listed, err)
	}
}

func TestNamespacesDoNotRunIntoEachOther(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	for _, key := range []string{"b/x", "a/y", "ab/z", "a/x"} {
		namespace, name, _ := strings.Cut(key, "/")
		h.put(t, "RoleBinding", &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
		h.put(t, "Pod", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
	}
	h.put(t, "Namespace", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
	for _, test := range []struct {
		name    string
		indexer clientcache.Indexer
		value   string
		want    []string
		values  []string
	}{
		{"a kind that is kept whole", h.Rbac().V1().RoleBindings().Informer().GetIndexer(), "a", []string{"a/x", "a/y"}, []string{"a", "ab", "b"}},
		{"a bulk kind", h.Core().V1().Pods().Informer().GetIndexer(), "a", []string{"a/x", "a/y"}, []string{"a", "ab", "b"}},
		{"a namespace without objects", h.Core().V1().Pods().Informer().GetIndexer(), "c", []string{}, []string{"a", "ab", "b"}},
		{"no namespace, of objects that have one", h.Core().V1().Pods().Informer().GetIndexer(), "", []string{}, []string{"a", "ab", "b"}},
		{"no namespace, of objects that have none", h.Core().V1().Namespaces().Informer().GetIndexer(), "", []string{"a"}, []string{""}},
		{"a namespace, of objects that have none", h.Core().V1().Namespaces().Informer().GetIndexer(), "a", []string{}, []string{""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, err := test.indexer.ByIndex(clientcache.NamespaceIndex, test.value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, namesOf(found)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			keys, err := test.indexer.IndexKeys(clientcache.NamespaceIndex, test.value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, append([]string{}, keys...)); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.values, test.indexer.ListIndexFuncValues(clientcache.NamespaceIndex)); diff != "" {
				t.Errorf("namespaces (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatHasNotChangedIsTheSameObjectAndNotDecodedAgain(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	binding := func(name string) *rbacv1.ClusterRoleBinding {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	for i := range 100 {
		h.put(t, "ClusterRoleBinding", binding(fmt.Sprintf("b%03d", i)))
	}
	indexer := h.Rbac().V1().ClusterRoleBindings().Informer().GetIndexer()
	first := indexer.List()
	revision := indexer.(interface{ Revision() int64 }).Revision()
	h.putPod(t, "elsewhere", "") // concerns another resource
	if again := indexer.(interface{ Revision() int64 }).Revision(); again != revision {
		t.Errorf("the revision went from %d to %d, though no binding was written", revision, again)
	}
	if second := indexer.List(); &first[0] != &second[0] {
		t.Error("the list was made anew, though no binding was written")
	}
	written := h.put(t, "ClusterRoleBinding", binding("b050"))
	if now := indexer.(interface{ Revision() int64 }).Revision(); now != written {
		t.Errorf("the revision is %d after a binding was written at %d", now, written)
	}
	third := indexer.List()
	for i := range third {
		if same := third[i] == first[i]; same != (i != 50) {
			t.Errorf("binding %d is the same object: %t", i, same)
		}
	}
	if n := h.decodings(); n != 101 {
		t.Errorf("decoded %d times, want each of 101 states once", n)
	}
}

func TestIndexesFollowWhatIsWritten(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	informer := h.Core().V1().Pods().Informer()
	byPhase := clientcache.Indexers{"phase": func(object any) ([]string, error) {
		switch phase := object.(*corev1.Pod).Status.Phase; phase {
		case "none":
			return nil, errors.New("no phase")
		default:
			return strings.Split(string(phase), ","), nil
		}
	}}
	h.putPod(t, "a", "red")
	if err := informer.AddIndexers(byPhase); err != nil {
		t.Fatal(err)
	}
	if err := informer.AddIndexers(byPhase); err == nil {
		t.Error("an index was added twice")
	}
	indexer := informer.GetIndexer()
	check := func(value string, want ...string) {
		t.Helper()
		found, err := indexer.ByIndex("phase", value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]string{}, want...), namesOf(found)); diff != "" {
			t.Errorf("objects with %s (-want +got):\n%s", value, diff)
		}
		keys, err := indexer.IndexKeys("phase", value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]string{}, want...), append([]string{}, keys...)); diff != "" {
			t.Errorf("keys with %s (-want +got):\n%s", value, diff)
		}
	}
	check("red", "ns/a")
	h.putPod(t, "b", "red,green")
	h.putPod(t, "c", "none")
	check("red", "ns/a", "ns/b")
	check("green", "ns/b")
	h.putPod(t, "a", "green")
	h.removePod(t, "b")
	h.putPod(t, "c", "red")
	check("red", "ns/c")
	check("green", "ns/a")
	found, err := indexer.Index("phase", newPod("", "red,green"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ns/a", "ns/c"}, namesOf(found)); diff != "" {
		t.Errorf("objects with either value (-want +got):\n%s", diff)
	}
	if _, err := indexer.ByIndex("colour", "red"); err == nil {
		t.Error("an index that nobody added can be asked")
	}
}

func TestIndexesFollowEvenWhenTheyAreAskedSeldom(t *testing.T) {
	h := newHouse(t, cache.Options{WindowEvents: 2}, Options{})
	indexer := h.Core().V1().Pods().Informer().GetIndexer()
	if err := indexer.AddIndexers(clientcache.Indexers{"name": func(object any) ([]string, error) {
		return []string{object.(*corev1.Pod).Name}, nil
	}}); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		h.putPod(t, "old", fmt.Sprint(i))
	}
	if found, _ := indexer.ByIndex("name", "old"); len(found) != 1 {
		t.Errorf("found %d, want 1", len(found))
	}
	h.removePod(t, "old")
	for i := range 10 { // more than the window holds
		h.putPod(t, "new", fmt.Sprint(i))
	}
	if found, _ := indexer.ByIndex("name", "old"); len(found) != 0 {
		t.Errorf("found %d that was deleted", len(found))
	}
	if diff := cmp.Diff([]string{"new"}, indexer.ListIndexFuncValues("name")); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestOneBrokenObjectDoesNotHideTheOthers(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	h.putPod(t, "a", "")
	h.breakPod(t, "b")
	h.putPod(t, "c", "")
	indexer := h.Core().V1().Pods().Informer().GetIndexer()
	for range 3 {
		if diff := cmp.Diff([]string{"ns/a", "ns/c"}, namesOf(indexer.List())); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
	}
	if _, exists, err := indexer.GetByKey("ns/b"); exists || err == nil || !strings.Contains(err.Error(), "pods ns/b") {
		t.Errorf("get the broken one: %t, %v, want an error that names it", exists, err)
	}
	if n := h.decoded[keyFor("Pod", newPod("b", ""))]; n != 1 {
		t.Errorf("the broken one was decoded, and complained about, %d times", n)
	}
}

func TestTransformedObjectsAreWhatAllSee(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	h.putPod(t, "a", "red")
	informer := h.Core().V1().Pods().Informer()
	if pod, _, _ := informer.GetIndexer().GetByKey("ns/a"); told(pod) != "a@2 red" {
		t.Errorf("before: %s", told(pod))
	}
	if err := informer.SetTransform(func(object any) (any, error) {
		object.(*corev1.Pod).Status.Phase = "transformed"
		return object, nil
	}); err != nil {
		t.Fatal(err)
	}
	diary := newDiary(nil)
	if _, err := informer.AddEventHandler(diary); err != nil {
		t.Fatal(err)
	}
	h.start(t)
	if diff := cmp.Diff([]string{"begin with a@2 transformed"}, diary.await(t, 1)); diff != "" {
		t.Errorf("handler (-want +got):\n%s", diff)
	}
	if pod, _, _ := informer.GetIndexer().GetByKey("ns/a"); told(pod) != "a@2 transformed" {
		t.Errorf("lister: %s", told(pod))
	}
	if err := informer.SetTransform(nil); err == nil {
		t.Error("a transform was changed after the start")
	}
}

func TestBulkKindsAreHeldDecodedWithinABound(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	large := strings.Repeat("x", 4<<10)
	const pods = 500
	for i := range pods {
		h.putPod(t, fmt.Sprint(i), large)
	}
	indexer := h.Core().V1().Pods().Informer().GetIndexer()
	for i := range pods {
		if _, exists, err := indexer.GetByKey(fmt.Sprintf("ns/%d", i)); !exists || err != nil {
			t.Fatal(err)
		}
	}
	memo := indexer.(*store).source.opened.Load().memo
	if memo.bytes > bulkBytes || len(memo.slots) != memo.order.Len() || len(memo.slots) == 0 {
		t.Errorf("%d objects of %d bytes are held, want at most %d bytes", len(memo.slots), memo.bytes, bulkBytes)
	}
	before := len(memo.slots)
	if n := len(indexer.List()); n != pods {
		t.Errorf("listed %d", n)
	}
	if len(memo.slots) != before {
		t.Errorf("a list made %d objects held of %d", before, len(memo.slots))
	}
	for i := range pods {
		h.removePod(t, fmt.Sprint(i))
	}
	indexer.List()
	if len(memo.slots) > pastStates {
		t.Errorf("%d objects are held that were deleted", len(memo.slots))
	}
}

func TestNothingCanBeReadBeforeItIsServed(t *testing.T) {
	h := unserved(t, cache.Options{}, Options{})
	h.putPod(t, "a", "")
	informer := h.Core().V1().Pods().Informer()
	h.start(t)
	if _, _, err := informer.GetIndexer().GetByKey("ns/a"); !errors.Is(err, ErrNotServed) {
		t.Errorf("get: %v, want %v", err, ErrNotServed)
	}
	if informer.HasSynced() || informer.LastSyncResourceVersion() != "" {
		t.Error("the informer has synced before it had anything to read")
	}
	h.Serve(h.resolve)
	until(t, "the informer to sync", informer.HasSyncedChecker().Done())
	if _, exists, err := informer.GetIndexer().GetByKey("ns/a"); !exists || err != nil {
		t.Errorf("get: %t, %v", exists, err)
	}
}

func TestAStoreCannotBeWrittenTo(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	store := h.Core().V1().Pods().Informer().GetStore()
	for name, err := range map[string]error{
		"add": store.Add(newPod("a", "")), "update": store.Update(newPod("a", "")), "delete": store.Delete(newPod("a", "")),
		"replace": store.Replace(nil, ""),
	} {
		if err == nil {
			t.Errorf("%s is allowed", name)
		}
	}
}

// groupsOf calls all methods of a value that take nothing and return one thing.
func groupsOf(v reflect.Value) map[string]reflect.Value {
	found := map[string]reflect.Value{}
	for i := range v.NumMethod() {
		if method := v.Method(i); method.Type().NumIn() == 0 && method.Type().NumOut() == 1 {
			found[v.Type().Method(i).Name] = method
		}
	}
	return found
}

func TestEveryInformerOfTheFactoryIsOurs(t *testing.T) {
	factory := New(nil, Options{})
	informers := 0
	for group, groupMethod := range groupsOf(reflect.ValueOf(factory)) {
		if groupMethod.Type().Out(0).Name() != "Interface" {
			continue
		}
		for version, versionMethod := range groupsOf(groupMethod.Call(nil)[0]) {
			for kind, kindMethod := range groupsOf(versionMethod.Call(nil)[0]) {
				typed := kindMethod.Call(nil)[0].Interface().(interface {
					Informer() clientcache.SharedIndexInformer
				})
				informers++
				if _, ours := typed.Informer().GetIndexer().(*store); !ours {
					t.Errorf("%s().%s().%s() lists and watches", group, version, kind)
				}
			}
		}
	}
	if informers < 60 {
		t.Errorf("found only %d informers", informers)
	}
}

func TestInformersFoundByResourceAreOurs(t *testing.T) {
	factory := New(nil, Options{})
	for _, resource := range []schema.GroupVersionResource{
		corev1.SchemeGroupVersion.WithResource("pods"),
		corev1.SchemeGroupVersion.WithResource("endpoints"),
		corev1.SchemeGroupVersion.WithResource("resourcequotas"),
		networkingv1.SchemeGroupVersion.WithResource("networkpolicies"),
		networkingv1.SchemeGroupVersion.WithResource("ingresses"),
		networkingv1.SchemeGroupVersion.WithResource("ipaddresses"),
		storagev1.SchemeGroupVersion.WithResource("csistoragecapacities"),
	} {
		informer, err := factory.ForResource(resource)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, ours := informer.Informer().GetIndexer().(*store); !ours {
			t.Errorf("%s lists and watches", resource)
		}
	}
	if _, err := factory.ForResource(corev1.SchemeGroupVersion.WithResource("plants")); err == nil {
		t.Error("there is an informer of plants")
	}
}
