package garbage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"gatehouse/engine/objects/cache"
	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
)

// world is an index over two kinds on a real database, and what it should know.
type world struct {
	t     *testing.T
	store storage.Store
	kinds []Kind
	index *index
	// objects by key, as they are stored.
	objects   map[string]metav1.ObjectMeta
	revisions map[string]int64
	judged    map[string]bool
	orphaned  map[string]bool
}

func newWorld(t *testing.T, windowEvents int) *world {
	t.Helper()
	ctx := context.Background()
	held := cache.New(cache.Options{WindowEvents: windowEvents})
	t.Cleanup(held.Close)
	store, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "gatehouse.db"), sqlite.Options{Observers: []storage.Observer{held.Observe}, Retention: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := held.Serve(ctx, store); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: store, objects: map[string]metav1.ObjectMeta{}, revisions: map[string]int64{}, judged: map[string]bool{}, orphaned: map[string]bool{}}
	for _, name := range []string{"widgets", "gadgets"} {
		kind := schema.GroupVersionKind{Group: "example.org", Version: "v1", Kind: name}
		prefix := "/registry/" + name + "/"
		w.kinds = append(w.kinds, Kind{
			Kind: kind, Resource: kind.GroupVersion().WithResource(name), Versions: []string{"v1"}, Namespaced: true, Collected: true, Prefix: prefix,
			Collection: held.Attach(cache.Resource{Prefix: prefix, Decode: func(string, []byte, int64) (runtime.Object, error) {
				return nil, errors.New("nothing is to be decoded")
			}}),
		})
	}
	w.index = newIndex(held.Follow(), work{
		judge:     func(o object) { w.judged[o.key] = true },
		orphan:    func(o object) { w.orphaned[o.key] = true },
		misplaced: func(object, metav1.OwnerReference) {},
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	w.index.setKinds(w.kinds)
	return w
}

// put writes an object, alternately as JSON and in Protobuf.
func (w *world) put(key string, object metav1.ObjectMeta) {
	w.t.Helper()
	stored, err := json.Marshal(map[string]any{"kind": "Widget", "metadata": object})
	if len(w.revisions)%2 == 0 {
		stored, err = (&corev1.ConfigMap{ObjectMeta: object, Data: map[string]string{"a": "b"}}).Marshal()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.objects[key] = object
	w.write(key, stored)
}

func (w *world) delete(key string) {
	w.t.Helper()
	delete(w.objects, key)
	w.write(key, nil)
}

// write writes, or deletes where there is nothing to write.
func (w *world) write(key string, stored []byte) {
	w.t.Helper()
	_, revision, err := w.store.Apply(w.t.Context(), storage.Write{Key: key, Value: stored, Delete: stored == nil, Expected: w.revisions[key]})
	if err != nil {
		w.t.Fatal(err)
	}
	if w.revisions[key] = revision; stored == nil {
		delete(w.revisions, key)
	}
}

// known is what the index knows of dependents, want what it should.
func (w *world) known() map[types.UID][]string {
	w.t.Helper()
	if err := w.index.updateAll(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	found := map[types.UID][]string{}
	for uid, group := range w.index.dependents {
		for m := range group.all() {
			found[uid] = append(found[uid], m.key)
		}
		slices.Sort(found[uid])
	}
	return found
}

func (w *world) want() map[types.UID][]string {
	want := map[types.UID][]string{}
	for _, key := range slices.Sorted(maps.Keys(w.objects)) {
		for _, o := range w.objects[key].OwnerReferences {
			if !slices.Contains(want[o.UID], key) {
				want[o.UID] = append(want[o.UID], key)
			}
		}
	}
	return want
}

// TestIndexKnowsWhatANaiveOneWould writes at random, looks now and then, and compares the index with one that looks at everything.
func TestIndexKnowsWhatANaiveOneWould(t *testing.T) {
	for name, window := range map[string]int{"a window that holds all": 8192, "a window that is often passed": 3} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, window)
			random := rand.New(rand.NewPCG(1, 2))
			uids := make([]types.UID, 12)
			for i := range uids {
				uids[i] = types.UID(fmt.Sprintf("uid-%d", i))
			}
			for step := range 400 {
				kind := w.kinds[random.IntN(2)]
				key := fmt.Sprintf("%sns/o%d", kind.Prefix, random.IntN(40))
				if _, exists := w.objects[key]; exists && random.IntN(3) == 0 {
					w.delete(key)
				} else {
					object := metav1.ObjectMeta{Namespace: "ns", Name: key, UID: uids[random.IntN(len(uids))]}
					if exists {
						object.UID = w.objects[key].UID
					}
					for range random.IntN(4) {
						object.OwnerReferences = append(object.OwnerReferences, metav1.OwnerReference{
							APIVersion: "example.org/v1", Kind: "widgets", Name: "o1", UID: uids[random.IntN(len(uids))], BlockOwnerDeletion: ptr.To(random.IntN(2) == 0),
						})
					}
					w.put(key, object)
				}
				if step%7 == 0 || step == 399 {
					if diff := cmp.Diff(w.want(), w.known()); diff != "" {
						t.Fatalf("after %d writes (-want +got):\n%s", step+1, diff)
					}
				}
			}
			for key := range w.objects {
				w.delete(key)
			}
			if left := w.known(); len(left) > 0 {
				t.Errorf("of nothing, the index knows %v", left)
			}
		})
	}
}

// TestDependentsOfWhatWentUnseenAreJudged passes the window between an owner's deletion and the next look.
func TestDependentsOfWhatWentUnseenAreJudged(t *testing.T) {
	w := newWorld(t, 2)
	owner, lost, kept := w.kinds[0].Prefix+"ns/owner", w.kinds[1].Prefix+"ns/lost", w.kinds[1].Prefix+"ns/kept"
	reference := metav1.OwnerReference{APIVersion: "example.org/v1", Kind: "widgets", Name: "owner", UID: "owner"}
	w.put(owner, metav1.ObjectMeta{UID: "owner"})
	w.put(lost, metav1.ObjectMeta{UID: "lost", OwnerReferences: []metav1.OwnerReference{reference}})
	w.put(kept, metav1.ObjectMeta{UID: "kept"})
	w.known()
	if len(w.judged) > 0 {
		t.Fatalf("judged too early: %v", w.judged)
	}
	w.delete(owner)
	for i := range 5 {
		w.put(fmt.Sprintf("%sns/other-%d", w.kinds[0].Prefix, i), metav1.ObjectMeta{UID: types.UID(fmt.Sprint(i))})
	}
	w.known()
	if diff := cmp.Diff(map[string]bool{lost: true}, w.judged); diff != "" {
		t.Errorf("judged (-want +got):\n%s", diff)
	}
}

// TestDependentsOfWhatGoesDuringTheFirstLookAreJudged has owners go while the first kind is being looked at, when they have been found
// there by what depends on them.
func TestDependentsOfWhatGoesDuringTheFirstLookAreJudged(t *testing.T) {
	w := newWorld(t, 8192)
	ofOther := func(number int, name string) metav1.OwnerReference {
		kind := w.kinds[1-number].Kind
		return metav1.OwnerReference{APIVersion: "example.org/v1", Kind: kind.Kind, Name: name, UID: types.UID(fmt.Sprint(name, 1-number))}
	}
	want := map[string]bool{}
	var owners []string
	for i, kind := range w.kinds {
		owner, dependent, signal := kind.Prefix+"ns/owner", kind.Prefix+"ns/dependent", kind.Prefix+"ns/signal"
		owners = append(owners, owner)
		w.put(owner, metav1.ObjectMeta{UID: types.UID(fmt.Sprint("owner", i))})
		w.put(dependent, metav1.ObjectMeta{UID: types.UID(fmt.Sprint("d", i)), OwnerReferences: []metav1.OwnerReference{ofOther(i, "owner")}})
		w.put(signal, metav1.ObjectMeta{UID: types.UID(fmt.Sprint("s", i)), OwnerReferences: []metav1.OwnerReference{ofOther(i, "nobody")}})
		want[dependent], want[signal] = true, true
	}
	note := w.index.work.judge
	w.index.work.judge = func(o object) {
		note(o)
		for _, owner := range owners {
			w.delete(owner)
		}
		owners = nil
	}
	w.known()
	if diff := cmp.Diff(want, w.judged); diff != "" {
		t.Errorf("judged (-want +got):\n%s", diff)
	}
}

// TestWhatOwnersThatCannotBeReadOwnStays asks what becomes of a dependent when what is stored of its owner is broken.
func TestWhatOwnersThatCannotBeReadOwnStays(t *testing.T) {
	w := newWorld(t, 8192)
	c := &Collector{index: w.index}
	owner, dependent := w.kinds[0].Prefix+"ns/owner", w.kinds[1].Prefix+"ns/dependent"
	references := []metav1.OwnerReference{{APIVersion: "example.org/v1", Kind: "widgets", Name: "owner", UID: "owner"}}
	w.put(owner, metav1.ObjectMeta{UID: "owner"})
	w.put(dependent, metav1.ObjectMeta{UID: "d", OwnerReferences: references})
	w.known()
	o := object{w.index.find("example.org/v1", "gadgets"), dependent, "d"}
	if solid, void, waiting, err := c.classify(t.Context(), o, references); err != nil || len(solid) != 1 {
		t.Fatalf("with an owner: solid %v, void %v, waiting %v, %v", solid, void, waiting, err)
	}
	w.write(owner, []byte("{broken"))
	if _, void, _, err := c.classify(t.Context(), o, references); err == nil || len(void) > 0 {
		t.Errorf("with an owner that cannot be read: void %v, %v", void, err)
	}
	if err := c.judge(t.Context(), o); err == nil {
		t.Error("a dependent of an owner that cannot be read was judged")
	}
}

// TestKindsThatGoAreForgotten takes a kind away and gives it back.
func TestKindsThatGoAreForgotten(t *testing.T) {
	w := newWorld(t, 8192)
	dependent := w.kinds[1].Prefix + "ns/dependent"
	w.put(w.kinds[0].Prefix+"ns/owner", metav1.ObjectMeta{UID: "owner"})
	w.put(dependent, metav1.ObjectMeta{UID: "d", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "example.org/v1", Kind: "widgets", Name: "owner", UID: "owner"},
	}})
	all := map[types.UID][]string{"owner": {dependent}}
	if diff := cmp.Diff(all, w.known()); diff != "" {
		t.Errorf("both kinds (-want +got):\n%s", diff)
	}
	w.index.setKinds(w.kinds[:1])
	if diff := cmp.Diff(map[types.UID][]string{}, w.known()); diff != "" {
		t.Errorf("owners alone (-want +got):\n%s", diff)
	}
	w.index.setKinds(w.kinds)
	if diff := cmp.Diff(all, w.known()); diff != "" {
		t.Errorf("both again (-want +got):\n%s", diff)
	}
}
