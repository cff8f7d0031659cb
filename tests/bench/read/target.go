package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	api "k8s.io/kubernetes/pkg/apis/core"

	gatehouse "gatehouse/engine/api"
	"gatehouse/engine/api/openapi"
	"gatehouse/engine/catalog"
	"gatehouse/engine/loopback"
	"gatehouse/engine/objects"
	"gatehouse/engine/objects/cache"
	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
)

// target is one store of pods with two servers before it.
type target struct {
	store           *sqlite.Store
	cache           *cache.Cache
	catalog         *catalog.Catalog
	pods            *objects.Store
	podBytes        int
	handled, cached *httptest.Server
}

func newTarget(ctx context.Context, dir string, pods int) (*target, error) {
	t := &target{cache: cache.New(cache.Options{})}
	var err error
	t.store, err = sqlite.Open(ctx, filepath.Join(dir, "bench.db"), sqlite.Options{Observers: []storage.Observer{t.cache.Observe}})
	if err != nil {
		return nil, err
	}
	if err := t.cache.Serve(ctx, t.store); err != nil {
		return nil, err
	}
	stores := objects.NewStores(t.store)
	if t.catalog, err = newCatalog(stores); err != nil {
		return nil, err
	}
	t.pods = stores.Find("/pods")
	if err := t.fill(ctx, pods); err != nil {
		return nil, fmt.Errorf("create pods: %w", err)
	}
	config := gatehouse.Config{
		Catalog:         t.catalog,
		Authorizer:      authorizerfactory.NewAlwaysAllowAuthorizer(),
		TypeConverter:   openapi.NewTypeConverters().For,
		MaxBodyBytes:    1 << 20,
		MinWatchTimeout: time.Hour,
	}
	if t.handled, err = serve(config); err != nil {
		return nil, err
	}
	config.Cache, config.Stores = t.cache, stores
	t.cached, err = serve(config)
	return t, err
}

// newCatalog builds the kinds, with nothing behind them that reads of pods would need.
func newCatalog(stores *objects.Stores) (*catalog.Catalog, error) {
	nowhere := &loopback.Transport{}
	client, err := kubernetes.NewForConfig(nowhere.Config())
	if err != nil {
		return nil, err
	}
	allow := authorizerfactory.NewAlwaysAllowAuthorizer()
	return catalog.New(catalog.Config{
		Decorator:    stores.Decorate,
		Loopback:     nowhere.Config(),
		Informers:    informers.NewSharedInformerFactory(client, 0),
		Authorizer:   allow,
		RuleResolver: allow,
		ServiceCIDR:  net.IPNet{IP: net.IPv4(10, 0, 0, 0).To4(), Mask: net.CIDRMask(24, 32)},
		NodePorts:    utilnet.PortRange{Base: 30000, Size: 100},
	})
}

func serve(config gatehouse.Config) (*httptest.Server, error) {
	handler, err := gatehouse.New(config)
	if err != nil {
		return nil, err
	}
	paths := &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	server := httptest.NewUnstartedServer(filters.WithRequestReceivedTimestamp(filters.WithRequestInfo(handler, paths)))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{DynamicRecordSizingDisabled: true} // as the engine has it
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	return server, nil
}

func (t *target) close() error {
	for _, server := range []*httptest.Server{t.handled, t.cached} {
		server.Config.SetKeepAlivesEnabled(false)
		server.CloseClientConnections()
		server.Close()
	}
	t.catalog.Close()
	t.cache.Close()
	return t.store.Close()
}

func key(n int) string { return fmt.Sprintf("/pods/bench/pod-%05d", n) }

func (t *target) fill(ctx context.Context, pods int) error {
	for n := range pods {
		pod, err := newPod(n)
		if err != nil {
			return err
		}
		encoded, err := json.Marshal(pod)
		if err != nil {
			return err
		}
		t.podBytes = len(encoded)
		internal, err := legacyscheme.Scheme.ConvertToVersion(pod, api.SchemeGroupVersion)
		if err != nil {
			return err
		}
		if err := t.pods.Create(ctx, key(n), internal, &api.Pod{}, 0); err != nil {
			return err
		}
	}
	return nil
}

// change writes that many changes of different pods, rate of them a second or as fast as it goes, and returns the CPU time that took, and when each was acknowledged.
func (t *target) change(ctx context.Context, changes, rate int) (cpu time.Duration, acknowledged []time.Time, err error) {
	before, err := processCPU()
	if err != nil {
		return 0, nil, err
	}
	start := time.Now()
	for n := range changes {
		if rate > 0 {
			time.Sleep(time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(rate))))
		}
		touch := apistorage.SimpleUpdate(func(current runtime.Object) (runtime.Object, error) {
			accessor, err := meta.Accessor(current)
			if err != nil {
				return nil, err
			}
			generation := accessor.GetGeneration() + 1
			accessor.SetGeneration(generation)
			return current, nil
		})
		err = errors.Join(err, t.pods.GuaranteedUpdate(ctx, key(n), &api.Pod{}, false, nil, touch, nil))
		acknowledged = append(acknowledged, time.Now())
	}
	after, failure := processCPU()
	return after - before, acknowledged, errors.Join(err, failure)
}

// revision is the store's, as a resourceVersion.
func (t *target) revision(ctx context.Context) string {
	revision, err := t.store.Revision(ctx)
	if err != nil {
		return err.Error() // which the server will refuse, loudly
	}
	return strconv.FormatInt(revision, 10)
}

// newPod makes a pod as a deployment's usually are.
func newPod(n int) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	if err := json.Unmarshal([]byte(fmt.Sprintf(podTemplate, n, n%50, n, n%100)), pod); err != nil {
		return nil, fmt.Errorf("read the template of pods: %w", err)
	}
	return pod, nil
}
