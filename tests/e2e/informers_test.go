package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"gatehouse/tests/harness"
)

// TestInformersOutliveTheServer kills the server under informers, which find their way back and miss nothing.
func TestInformersOutliveTheServer(t *testing.T) {
	server := harness.Start(t, harness.Options{})
	client := typed(t, inProtobuf(server.ClientConfig()))
	// The server keeps ConfigMaps of its own, one of them in each namespace.
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(metav1.NamespaceDefault),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name!=kube-root-ca.crt" }))
	informer := factory.Core().V1().ConfigMaps().Informer()
	var added, deleted atomic.Int64
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { added.Add(1) },
		DeleteFunc: func(any) { deleted.Add(1) },
	}); err != nil {
		t.Fatal(err)
	}
	createMap(t, client.CoreV1().ConfigMaps(metav1.NamespaceDefault), "before")
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer cancel()
	if !cache.WaitForCacheSync(within(t, patience).Done(), informer.HasSynced) {
		t.Fatal("the informer does not sync")
	}

	server.Restart()
	maps := client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	createMap(t, maps, "after")
	if err := maps.Delete(t.Context(), "before", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if added.Load() != 2 || deleted.Load() != 1 {
			return fmt.Errorf("the informer saw %d ConfigMaps come and %d go, want 2 and 1", added.Load(), deleted.Load())
		}
		return nil
	})
	if keys := informer.GetStore().ListKeys(); len(keys) != 1 || keys[0] != "default/after" {
		t.Errorf("the informer knows %v, want default/after", keys)
	}
}

// TestDiscoveryMapsKindsToResources asks as controllers do that are told a kind.
func TestDiscoveryMapsKindsToResources(t *testing.T) {
	config := harness.Start(t, harness.Options{}).ClientConfig()
	for _, form := range []struct {
		name   string
		accept func(*discovery.DiscoveryClient) discovery.DiscoveryInterface
	}{
		{"aggregated", func(c *discovery.DiscoveryClient) discovery.DiscoveryInterface { return c }},
		{"group by group", func(c *discovery.DiscoveryClient) discovery.DiscoveryInterface { return c.WithLegacy() }},
	} {
		t.Run(form.name, func(t *testing.T) {
			client, err := discovery.NewDiscoveryClientForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			groups, err := restmapper.GetAPIGroupResources(form.accept(client))
			if err != nil {
				t.Fatal(err)
			}
			wantMappings(t, restmapper.NewDiscoveryRESTMapper(groups))
		})
	}
}

func wantMappings(t *testing.T, mapper meta.RESTMapper) {
	for _, test := range []struct {
		kind     schema.GroupKind
		resource schema.GroupVersionResource
		scope    meta.RESTScopeName
	}{
		{schema.GroupKind{Kind: "Pod"}, corev1.SchemeGroupVersion.WithResource("pods"), meta.RESTScopeNameNamespace},
		{schema.GroupKind{Kind: "Node"}, corev1.SchemeGroupVersion.WithResource("nodes"), meta.RESTScopeNameRoot},
		{schema.GroupKind{Kind: "Endpoints"}, corev1.SchemeGroupVersion.WithResource("endpoints"), meta.RESTScopeNameNamespace},
		{schema.GroupKind{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"},
			schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
			meta.RESTScopeNameNamespace},
		{schema.GroupKind{Group: "networking.k8s.io", Kind: "Ingress"},
			schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"}, meta.RESTScopeNameNamespace},
	} {
		mapping, err := mapper.RESTMapping(test.kind)
		if err != nil {
			t.Errorf("%s: %v", test.kind, err)
			continue
		}
		if mapping.Resource != test.resource || mapping.Scope.Name() != test.scope {
			t.Errorf("%s is %s, %s, want %s, %s", test.kind, mapping.Resource, mapping.Scope.Name(), test.resource, test.scope)
		}
	}
	if _, err := mapper.RESTMapping(schema.GroupKind{Kind: "Nothing"}); !meta.IsNoMatchError(err) {
		t.Errorf("an unknown kind: got %v, want that nothing matches", err)
	}
}

// TestOneLeads has candidates compete for a Lease: there is one leader, and another when it goes.
func TestOneLeads(t *testing.T) {
	const candidates = 3
	client := typed(t, harness.Start(t, harness.Options{}).ClientConfig())
	leading := make(chan string, candidates)
	resign := map[string]context.CancelFunc{}
	var leaders atomic.Int64
	for i := range candidates {
		name := fmt.Sprintf("candidate-%d", i)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		resign[name] = cancel
		elector := newElector(t, client, name, leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) {
				if leaders.Add(1) > 1 {
					t.Errorf("%s leads beside another", name)
				}
				leading <- name
			},
			OnStoppedLeading: func() {},
		})
		go elector.Run(ctx)
	}
	for range candidates {
		select {
		case leader := <-leading:
			wantHolder(t, client, leader)
			leaders.Add(-1) // before it resigns, for then the next may come at once
			resign[leader]()
		case <-within(t, patience).Done():
			t.Fatal("nobody leads")
		}
	}
}

// newElector makes a candidate that is quick to see that a leader has resigned.
func newElector(t *testing.T, client kubernetes.Interface, name string, callbacks leaderelection.LeaderCallbacks) *leaderelection.LeaderElector {
	t.Helper()
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "leader"},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		},
		LeaseDuration: time.Minute, RenewDeadline: 30 * time.Second, RetryPeriod: 50 * time.Millisecond,
		ReleaseOnCancel: true,
		Callbacks:       callbacks,
	})
	if err != nil {
		t.Fatal(err)
	}
	return elector
}

func wantHolder(t *testing.T, client kubernetes.Interface, name string) {
	t.Helper()
	var lease *coordinationv1.Lease
	lease, err := client.CoordinationV1().Leases(metav1.NamespaceDefault).Get(t.Context(), "leader", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if holder := lease.Spec.HolderIdentity; holder == nil || *holder != name {
		t.Errorf("the Lease is held by %v, want %s", holder, name)
	}
}

// TestClientsWithoutRights tells who may do what, and who is nobody.
func TestClientsWithoutRights(t *testing.T) {
	server := harness.Start(t, harness.Options{})
	administrator := server.ClientConfig()
	accounts := typed(t, administrator).CoreV1().ServiceAccounts(metav1.NamespaceDefault)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}
	if _, err := accounts.Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token := requestToken(t, typed(t, administrator), "robot")

	robot := rest.AnonymousClientConfig(administrator)
	robot.BearerToken = token
	forged := rest.AnonymousClientConfig(administrator)
	forged.BearerToken = token[:len(token)-8] + "AAAAAAAA"
	impersonated := rest.CopyConfig(administrator)
	impersonated.Impersonate = rest.ImpersonationConfig{UserName: "jane"}
	nobody := rest.AnonymousClientConfig(administrator)

	for _, test := range []struct {
		name   string
		config *rest.Config
		want   func(error) bool
		says   string
	}{
		{"a service account is known, and may do nothing", robot, apierrors.IsForbidden,
			`User "system:serviceaccount:default:robot" cannot create resource "configmaps" in API group "" in the namespace "default"`},
		{"a forged token is nobody's", forged, apierrors.IsUnauthorized, "Unauthorized"},
		{"who is impersonated may do nothing", impersonated, apierrors.IsForbidden, `User "jane" cannot create resource "configmaps"`},
		{"nobody may do nothing", nobody, func(err error) bool { return apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			maps := typed(t, test.config).CoreV1().ConfigMaps(metav1.NamespaceDefault)
			_, err := maps.Create(t.Context(), configMap("a", nil), metav1.CreateOptions{})
			if !test.want(err) || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("got %v, want that it says %q", err, test.says)
			}
		})
	}
	t.Run("nobody may ask for health", func(t *testing.T) {
		body, err := typed(t, nobody).RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		if err != nil || string(body) != "ok" {
			t.Errorf("got %q, %v", body, err)
		}
	})
	t.Run("a token's end is its account's", func(t *testing.T) {
		if err := accounts.Delete(t.Context(), "robot", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			_, err := typed(t, robot).CoreV1().ConfigMaps(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{})
			if !apierrors.IsUnauthorized(err) {
				return errors.Join(errors.New("the token is still good"), err)
			}
			return nil
		})
	})
}
