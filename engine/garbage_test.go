package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/ptr"
)

// family is a namespace of ConfigMaps that own each other.
type family struct {
	t    *testing.T
	core coreclient.CoreV1Interface
	maps coreclient.ConfigMapInterface
	name string
}

func newFamily(t *testing.T, core coreclient.CoreV1Interface, name string) *family {
	t.Helper()
	if _, err := core.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return &family{t: t, core: core, maps: core.ConfigMaps(name), name: name}
}

// member makes a ConfigMap with owners, and returns a reference to it.
func (f *family) member(name string, owners ...metav1.OwnerReference) metav1.OwnerReference {
	f.t.Helper()
	return f.memberWith(metav1.ObjectMeta{Name: name, OwnerReferences: owners})
}

func (f *family) memberWith(metadata metav1.ObjectMeta) metav1.OwnerReference {
	f.t.Helper()
	made, err := f.maps.Create(f.t.Context(), &corev1.ConfigMap{ObjectMeta: metadata}, metav1.CreateOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	return metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: made.Name, UID: made.UID}
}

// blocking is a reference that keeps its owner from going first.
func blocking(o metav1.OwnerReference) metav1.OwnerReference {
	o.BlockOwnerDeletion = ptr.To(true)
	return o
}

func (f *family) delete(name string, policy metav1.DeletionPropagation) {
	f.t.Helper()
	if err := f.maps.Delete(f.t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &policy}); err != nil {
		f.t.Fatal(err)
	}
}

// own changes who owns a member.
func (f *family) own(name string, owners ...metav1.OwnerReference) {
	f.t.Helper()
	member, err := f.maps.Get(f.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	member.OwnerReferences = owners
	if _, err := f.maps.Update(f.t.Context(), member, metav1.UpdateOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

// release takes all finalizers from a member.
func (f *family) release(name string) {
	f.t.Helper()
	if _, err := f.maps.Patch(f.t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

// gone waits until members are no more.
func (f *family) gone(names ...string) {
	f.t.Helper()
	for _, name := range names {
		eventually(f.t, func() error {
			_, err := f.maps.Get(f.t.Context(), name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return errors.Join(fmt.Errorf("%s is still there", name), err)
		})
	}
}

// settled waits until members have just these owners left, by name, and are not being deleted.
func (f *family) settled(name string, owners ...string) {
	f.t.Helper()
	eventually(f.t, func() error {
		member, err := f.maps.Get(f.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		left := []string{}
		for _, owner := range member.OwnerReferences {
			left = append(left, owner.Name)
		}
		if !slices.Equal(left, owners) || member.DeletionTimestamp != nil {
			return fmt.Errorf("%s is owned by %q, want %q; deletion: %v", name, left, owners, member.DeletionTimestamp)
		}
		return nil
	})
}

// barrier has something collected, so that what was to happen before has had its time: the collector works in order.
func (f *family) barrier() {
	f.t.Helper()
	owner := f.member("barrier-owner")
	f.member("barrier", owner)
	f.delete("barrier-owner", metav1.DeletePropagationBackground)
	f.gone("barrier")
}

// TestGarbageIsCollectedAsUpstreamDoes are the scenarios of upstream's test/integration/garbagecollector that need no custom resources, and
// those of its unit tests in which objects refer to what is not there.
func TestGarbageIsCollectedAsUpstreamDoes(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	core := server.client(t).CoreV1()
	background, foreground, orphan := metav1.DeletePropagationBackground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan
	for i, test := range []struct {
		name string
		run  func(f *family)
	}{
		{"dependents go after their only owner, and others stay", func(f *family) {
			doomed, staying := f.member("doomed"), f.member("staying")
			f.member("only", doomed)
			f.member("both", doomed, staying)
			f.member("nobodys")
			f.delete("doomed", background)
			f.gone("doomed", "only")
			f.settled("both", "staying")
			f.settled("nobodys")
		}},
		{"dependents of dependents go as well", func(f *family) {
			first := f.member("first")
			second := f.member("second", first)
			third := f.member("third", second)
			f.member("fourth", third)
			f.delete("first", background)
			f.gone("first", "second", "third", "fourth")
		}},
		{"what is made with an owner that is not there goes", func(f *family) {
			f.member("lost", metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "nobody", UID: "doesn't matter"})
			f.gone("lost")
		}},
		{"an owner of the same name that is another object is none", func(f *family) {
			owner := f.member("owner")
			owner.UID = "00000000-0000-4000-8000-000000000000"
			f.member("lost", owner)
			f.gone("lost")
			f.settled("owner")
		}},
		{"what is taken over by an owner that is not there goes", func(f *family) {
			f.member("lost")
			f.own("lost", metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "nobody", UID: "nobody"})
			f.gone("lost")
		}},
		{"orphans stay, and are nobody's", func(f *family) {
			owner, other := f.member("owner"), f.member("other")
			f.member("orphan", owner)
			f.member("half", owner, other)
			f.delete("owner", orphan)
			f.gone("owner")
			f.settled("orphan")
			f.settled("half", "other")
		}},
		{"an owner waits in the foreground for what blocks it", func(f *family) {
			owner := f.member("owner")
			f.memberWith(metav1.ObjectMeta{Name: "held", OwnerReferences: []metav1.OwnerReference{blocking(owner)}, Finalizers: []string{"example.org/hold"}})
			f.member("free", blocking(owner))
			f.delete("owner", foreground)
			f.gone("free")
			if _, err := f.maps.Get(t.Context(), "owner", metav1.GetOptions{}); err != nil {
				f.t.Errorf("the owner did not wait: %v", err)
			}
			f.release("held")
			f.gone("held", "owner")
		}},
		{"an owner does not wait for what does not block it", func(f *family) {
			owner := f.member("owner")
			f.memberWith(metav1.ObjectMeta{Name: "held", OwnerReferences: []metav1.OwnerReference{owner}, Finalizers: []string{"example.org/hold"}})
			f.delete("owner", foreground)
			f.gone("owner")
			f.release("held")
			f.gone("held")
		}},
		{"an owner waits no longer for what does not block it any more", func(f *family) {
			owner := f.member("owner")
			f.memberWith(metav1.ObjectMeta{Name: "held", OwnerReferences: []metav1.OwnerReference{blocking(owner)}, Finalizers: []string{"example.org/hold"}})
			f.delete("owner", foreground)
			eventually(f.t, func() error {
				held, err := f.maps.Get(t.Context(), "held", metav1.GetOptions{})
				if err == nil && held.DeletionTimestamp == nil {
					err = errors.New("is not being deleted")
				}
				return err
			})
			f.own("held", owner)
			f.gone("owner")
			f.release("held")
			f.gone("held")
		}},
		{"what another owner keeps does not block one that waits", func(f *family) {
			waiting, staying := f.member("waiting"), f.member("staying")
			f.member("both", blocking(waiting), blocking(staying))
			f.delete("waiting", foreground)
			f.gone("waiting")
			f.settled("both", "staying")
		}},
		{"a chain goes in the foreground from its end", func(f *family) {
			first := f.member("first")
			second := f.member("second", blocking(first))
			f.memberWith(metav1.ObjectMeta{Name: "third", OwnerReferences: []metav1.OwnerReference{blocking(second)}, Finalizers: []string{"example.org/hold"}})
			f.delete("first", foreground)
			eventually(f.t, func() error {
				third, err := f.maps.Get(t.Context(), "third", metav1.GetOptions{})
				if err == nil && third.DeletionTimestamp == nil {
					err = errors.New("is not being deleted")
				}
				return err
			})
			for _, name := range []string{"first", "second"} {
				if _, err := f.maps.Get(t.Context(), name, metav1.GetOptions{}); err != nil {
					f.t.Errorf("%s did not wait: %v", name, err)
				}
			}
			f.release("third")
			f.gone("third", "second", "first")
		}},
		{"owners in a circle go in the foreground", func(f *family) {
			one := f.member("one")
			two := f.member("two", blocking(one))
			three := f.member("three", blocking(two))
			f.own("one", blocking(three))
			f.delete("one", foreground)
			f.gone("one", "two", "three")
		}},
		{"owners in a circle go in the background, and stay while nobody deletes one", func(f *family) {
			one := f.member("one")
			two := f.member("two", one)
			f.own("one", two)
			f.barrier()
			f.settled("one", "two")
			f.settled("two", "one")
			f.delete("one", background)
			f.gone("one", "two")
		}},
		{"owners in a circle go when all of them are deleted in the foreground", func(f *family) {
			one := f.memberWith(metav1.ObjectMeta{Name: "one", Finalizers: []string{metav1.FinalizerDeleteDependents}})
			two := f.memberWith(metav1.ObjectMeta{Name: "two", OwnerReferences: []metav1.OwnerReference{blocking(one)},
				Finalizers: []string{metav1.FinalizerDeleteDependents}})
			f.own("one", blocking(two))
			f.delete("one", foreground)
			if err := f.maps.Delete(t.Context(), "two", metav1.DeleteOptions{PropagationPolicy: ptr.To(foreground)}); err != nil && !apierrors.IsNotFound(err) {
				f.t.Fatal(err)
			}
			f.gone("one", "two")
		}},
		{"what owns itself goes when it is deleted in the foreground", func(f *family) {
			self := f.member("self")
			f.own("self", blocking(self))
			f.barrier()
			f.settled("self", "self")
			f.delete("self", foreground)
			f.gone("self")
		}},
		{"an owner of a kind that there is not keeps what it owns", func(f *family) {
			f.member("kept", metav1.OwnerReference{APIVersion: "example.org/v1", Kind: "Nothing", Name: "n", UID: "n"})
			f.barrier()
			f.settled("kept", "n")
		}},
		{"an owner of a version that there is not keeps what it owns", func(f *family) {
			f.member("kept", metav1.OwnerReference{APIVersion: "v7", Kind: "ConfigMap", Name: "n", UID: "n"})
			f.barrier()
			f.settled("kept", "n")
		}},
		{"a finalizer of somebody else's is waited for, whatever is asked for meanwhile", func(f *family) {
			f.memberWith(metav1.ObjectMeta{Name: "held", Finalizers: []string{"example.org/hold"}})
			f.delete("held", foreground)
			eventually(f.t, func() error {
				held, err := f.maps.Get(t.Context(), "held", metav1.GetOptions{})
				if err == nil && !slices.Equal(held.Finalizers, []string{"example.org/hold"}) {
					err = fmt.Errorf("finalizers are %q", held.Finalizers)
				}
				return err
			})
			f.delete("held", foreground)
			f.delete("held", background)
			f.release("held")
			f.gone("held")
		}},
		{"a foreground finalizer that was there before is honoured", func(f *family) {
			owner := f.member("owner")
			middle := f.memberWith(metav1.ObjectMeta{Name: "middle", OwnerReferences: []metav1.OwnerReference{owner}, Finalizers: []string{metav1.FinalizerDeleteDependents}})
			f.memberWith(metav1.ObjectMeta{Name: "held", OwnerReferences: []metav1.OwnerReference{blocking(middle)}, Finalizers: []string{"example.org/hold"}})
			f.delete("owner", background)
			f.gone("owner")
			eventually(f.t, func() error {
				held, err := f.maps.Get(t.Context(), "held", metav1.GetOptions{})
				if err == nil && held.DeletionTimestamp == nil {
					err = errors.New("is not being deleted")
				}
				return err
			})
			if _, err := f.maps.Get(t.Context(), "middle", metav1.GetOptions{}); err != nil {
				f.t.Errorf("it did not wait: %v", err)
			}
			f.release("held")
			f.gone("held", "middle")
		}},
		{"an orphan finalizer that was there before is honoured", func(f *family) {
			owner := f.member("owner")
			middle := f.memberWith(metav1.ObjectMeta{Name: "middle", OwnerReferences: []metav1.OwnerReference{owner}, Finalizers: []string{metav1.FinalizerOrphanDependents}})
			f.member("orphan", middle)
			f.delete("owner", background)
			f.gone("owner", "middle")
			f.settled("orphan")
		}},
		{"an owner in another namespace is none, and who refers to one is told", func(f *family) {
			elsewhere := newFamily(t, core, f.name+"-elsewhere")
			owner := elsewhere.member("owner")
			right := elsewhere.member("right", owner)
			f.member("lost", owner)
			f.gone("lost")
			eventually(f.t, func() error {
				events, err := core.Events(f.name).List(t.Context(), metav1.ListOptions{FieldSelector: "reason=OwnerRefInvalidNamespace"})
				if err == nil && len(events.Items) == 0 {
					err = errors.New("nobody was told")
				}
				if err == nil {
					want := fmt.Sprintf("ownerRef [v1/ConfigMap, namespace: %s, name: owner, uid: %s] does not exist in namespace %q", f.name, owner.UID, f.name)
					if diff := cmp.Diff(want, events.Items[0].Message); diff != "" {
						f.t.Errorf("message (-want +got):\n%s", diff)
					}
				}
				return err
			})
			elsewhere.settled(right.Name, "owner")
		}},
		{"an owner in no namespace has dependents in any", func(f *family) {
			class, err := server.client(t).SchedulingV1().PriorityClasses().Get(t.Context(), "system-cluster-critical", metav1.GetOptions{})
			if err != nil {
				f.t.Fatal(err)
			}
			f.member("kept", metav1.OwnerReference{APIVersion: "scheduling.k8s.io/v1", Kind: "PriorityClass", Name: class.Name, UID: class.UID})
			f.member("lost", metav1.OwnerReference{APIVersion: "scheduling.k8s.io/v1", Kind: "PriorityClass", Name: class.Name, UID: "another"})
			f.gone("lost")
			f.settled("kept", class.Name)
		}},
		{"what is in no namespace is not collected for an owner that would be in one", func(f *family) {
			name := f.name + "-volume"
			volume := &corev1.PersistentVolume{
				ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "n", UID: "n"}}},
				Spec: corev1.PersistentVolumeSpec{
					Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
					AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/v"}},
				},
			}
			if _, err := core.PersistentVolumes().Create(t.Context(), volume, metav1.CreateOptions{}); err != nil {
				f.t.Fatal(err)
			}
			f.barrier()
			if found, err := core.PersistentVolumes().Get(t.Context(), name, metav1.GetOptions{}); err != nil || found.DeletionTimestamp != nil {
				f.t.Errorf("the volume: %v, %v", found, err)
			}
		}},
		{"many at a time, each in its own way", func(f *family) {
			var running sync.WaitGroup
			for i := range 15 {
				policy := []metav1.DeletionPropagation{background, foreground, orphan}[i%3]
				running.Go(func() {
					name := fmt.Sprintf("owner-%d", i)
					owner := f.member(name)
					for j := range 4 {
						f.member(fmt.Sprintf("%s-%d", name, j), blocking(owner))
					}
					f.delete(name, policy)
					f.gone(name)
					for j := range 4 {
						if dependent := fmt.Sprintf("%s-%d", name, j); policy == orphan {
							f.settled(dependent)
						} else {
							f.gone(dependent)
						}
					}
				})
			}
			running.Wait()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFamily(t, core, fmt.Sprintf("family-%d", i))
			test.run(f)
			began := time.Now()
			f.end()
			t.Logf("its namespace was gone after %s", time.Since(began))
		})
	}
}

// end deletes the namespace and waits until it is gone.
func (f *family) end() {
	f.t.Helper()
	if err := f.core.Namespaces().Delete(f.t.Context(), f.name, metav1.DeleteOptions{}); err != nil {
		f.t.Fatal(err)
	}
	eventually(f.t, func() error {
		_, err := f.core.Namespaces().Get(f.t.Context(), f.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the namespace is still there"), err)
	})
}

// TestGarbageOfBeforeIsCollected has dependents lose their owners while no collector runs.
func TestGarbageOfBeforeIsCollected(t *testing.T) {
	config := testConfig(t, t.TempDir())
	config.Controllers = []string{"external"}
	server := serve(t, config)
	f := newFamily(t, server.client(t).CoreV1(), "before")
	owner, waiting, orphaning := f.member("owner"), f.member("waiting"), f.member("orphaning")
	f.member("lost", owner)
	f.member("blocking", blocking(waiting))
	f.member("orphan", orphaning)
	f.delete("owner", metav1.DeletePropagationBackground)
	f.delete("waiting", metav1.DeletePropagationForeground)
	f.delete("orphaning", metav1.DeletePropagationOrphan)
	server.Stop()

	config.Controllers = []string{"*"}
	server = serve(t, config)
	core := server.client(t).CoreV1()
	f = &family{t: t, core: core, maps: core.ConfigMaps("before"), name: "before"}
	f.gone("lost", "blocking", "waiting", "orphaning")
	f.settled("orphan")
}
