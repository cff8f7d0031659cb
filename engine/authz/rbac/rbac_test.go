package rbac

import (
	"context"
	"fmt"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

func reader() *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		Rules:      []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}},
	}
}

func binding(name, username string) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: username}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "reader"},
	}
}

func getPod(username string) authorizer.AttributesRecord {
	return authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: username, Groups: []string{user.AllAuthenticated}}, ResourceRequest: true,
		Verb: "get", Resource: "pods", Namespace: "default", Name: "a",
	}
}

func decision(t testing.TB, a *Authorizer, request authorizer.AttributesRecord) authorizer.Decision {
	t.Helper()
	decided, _, err := a.Authorize(t.Context(), request)
	if err != nil {
		t.Error(err)
	}
	return decided
}

func TestWhatTheListerShowsNoMoreAllowsNothing(t *testing.T) {
	p := newPolicy()
	a := New(p)
	p.clusterRoles.put(t, reader())
	janes := binding("janes", "jane")
	for range 3 {
		if got := decision(t, a, getPod("jane")); got != authorizer.DecisionNoOpinion {
			t.Errorf("unbound, jane may: %v", got)
		}
		p.clusterBindings.put(t, janes)
		if got := decision(t, a, getPod("jane")); got != authorizer.DecisionAllow {
			t.Errorf("bound, jane may not: %v", got)
		}
		p.clusterBindings.delete(t, janes)
	}
}

func TestUnchangedBindingsAreIndexedOnce(t *testing.T) {
	p := newPolicy()
	a := New(p)
	for _, namespace := range []string{"a", "b"} {
		p.bindings.put(t, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "x"}})
	}
	first, err := a.bindings.in("a")
	if err != nil {
		t.Fatal(err)
	}
	p.bindings.put(t, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "y"}})
	second, err := a.bindings.in("a")
	if err != nil {
		t.Fatal(err)
	}
	if first != second {
		t.Error("a change in another namespace made the index anew")
	}
}

func TestNamespacesWithoutBindingsAreNotRemembered(t *testing.T) {
	a := New(newPolicy())
	for i := range 10 {
		request := getPod("jane")
		request.Namespace = fmt.Sprint("none-", i)
		decision(t, a, request)
	}
	if n := a.bindings.latest.Len(); n != 0 {
		t.Errorf("%d of them are remembered", n)
	}
}

func TestNobodyIsBound(t *testing.T) {
	p := newPolicy()
	p.clusterRoles.put(t, reader())
	p.clusterBindings.put(t, binding("anybody", ""))
	request := getPod("")
	request.User = nil
	if got := decision(t, New(p), request); got != authorizer.DecisionNoOpinion {
		t.Errorf("a request without a user may: %v", got)
	}
}

// TestOrdinaryInformers is about indexers that do not know their revision.
func TestOrdinaryInformers(t *testing.T) {
	client := fake.NewClientset(reader(), binding("janes", "jane"))
	factory := informers.NewSharedInformerFactory(client, 0)
	a := New(factory.Rbac().V1())
	if got := decision(t, a, getPod("jane")); got != authorizer.DecisionNoOpinion {
		t.Errorf("before anything is known, jane may: %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	factory.StartWithContext(ctx)
	defer factory.Shutdown()
	defer cancel()
	until := func(want authorizer.Decision) {
		t.Helper()
		err := wait.PollUntilContextTimeout(ctx, time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
			return decision(t, a, getPod("jane")) == want, nil
		})
		if err != nil {
			t.Fatalf("jane is never told %v", want)
		}
	}
	until(authorizer.DecisionAllow)
	if err := client.RbacV1().ClusterRoleBindings().Delete(ctx, "janes", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(authorizer.DecisionNoOpinion)
}

// BenchmarkAuthorize is what one request costs among 1,000 ClusterRoleBindings of as many users.
func BenchmarkAuthorize(b *testing.B) {
	p := newPolicy()
	p.clusterRoles.put(b, reader())
	for i := range 1000 {
		p.clusterBindings.put(b, binding(fmt.Sprint("binding-", i), fmt.Sprint("user-", i)))
	}
	request := getPod("user-500")
	for name, one := range map[string]authorizer.Authorizer{"indexed": New(p), "upstream": p.upstream()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, _, _ := one.Authorize(b.Context(), request); got != authorizer.DecisionAllow {
					b.Fatal(got)
				}
			}
		})
	}
}
