package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	api "k8s.io/kubernetes/pkg/apis/core"

	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
	"gatehouse/tests/harness"
)

// restTime is how long a server is left alone before its memory is read: until it has noticed that it is at rest.
const restTime = 20 * time.Second

// memoryPlan is what of memory to measure.
type memoryPlan struct {
	dir     string
	binary  string
	flags   []string // of the server
	pods    []int
	watches int
}

// reportMemory measures whole servers, each a process of its own, from outside: what each pod and each watch takes.
func reportMemory(ctx context.Context, p memoryPlan) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(out, "anonymous memory at rest\tin all\teach\t\n")
	for _, pods := range p.pods {
		if pods == 0 {
			continue // an empty server is measured with each
		}
		if err := p.line(ctx, out, pods); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// line measures a server with so many pods, and what upstream's watch cache would hold of them.
func (p memoryPlan) line(ctx context.Context, out io.Writer, pods int) (err error) {
	dir, err := os.MkdirTemp(p.dir, "memory-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	empty, err := p.withServer(ctx, dir, func(s *subject) (int64, error) { return s.atRest() })
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "no pods\t%s\t\t\n", megabytes(empty))
	if err := fillDatabase(ctx, filepath.Join(dir, "gatehouse.db"), pods); err != nil {
		return fmt.Errorf("create pods: %w", err)
	}
	_, err = p.withServer(ctx, dir, func(s *subject) (int64, error) {
		return 0, errors.Join(s.warm(ctx, out, pods, empty), s.watch(ctx, out, p.watches))
	})
	if err != nil {
		return err
	}
	decoded, err := decodedBytes(pods)
	fmt.Fprintf(out, "%d pods decoded, as upstream's cache has them\t%s\t%d B\t\n", pods, megabytes(decoded), decoded/int64(pods))
	return err
}

// subject is a running server whose memory is measured.
type subject struct {
	process *harness.Process
	config  *rest.Config
}

// withServer runs a server on a data directory while it is measured.
func (p memoryPlan) withServer(ctx context.Context, dir string, measure func(*subject) (int64, error)) (measured int64, err error) {
	process, err := harness.Launch(ctx, harness.Options{Binary: p.binary, DataDir: dir, Flags: p.flags})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, process.Stop()) }()
	if err := process.WaitReady(ctx); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, process.Log())
	}
	config, err := process.ClientConfig()
	if err != nil {
		return 0, err
	}
	return measure(&subject{process, config})
}

func (s *subject) atRest() (int64, error) {
	time.Sleep(restTime)
	return anonymous(s.process.PID())
}

// warm has the server keep the pods in both encodings.
func (s *subject) warm(ctx context.Context, out io.Writer, pods int, empty int64) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	for _, accept := range []string{acceptJSON, acceptProtobuf} {
		answer, err := s.get(ctx, client, "/api/v1/pods", accept)
		if err != nil {
			return err
		}
		size, err := io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if err != nil {
			return err
		}
		used, err := s.atRest()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d pods, and %d B each in %s\t%s\t%d B\t\n", pods, size/int64(pods), accept, megabytes(used), (used-empty)/int64(pods))
	}
	return nil
}

// watchesEach is how many watches a client has on its one connection: as many as it may.
const watchesEach = 100

// watch opens watches of all pods.
func (s *subject) watch(ctx context.Context, out io.Writer, watches int) error {
	if watches == 0 {
		return nil
	}
	before, err := anonymous(s.process.PID())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var opening sync.WaitGroup
	failures := make([]error, (watches+watchesEach-1)/watchesEach)
	for i := range failures {
		client, err := s.client()
		if err != nil {
			return err
		}
		defer client.CloseIdleConnections()
		opening.Go(func() { failures[i] = s.open(ctx, client, min(watchesEach, watches-i*watchesEach)) })
	}
	opening.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	used, err := s.atRest()
	fmt.Fprintf(out, "%d watches over %d connections\t%s\t%d B\t\n", watches, len(failures), megabytes(used-before), (used-before)/int64(watches))
	return err
}

// open opens watches that see nothing of what is there; they end with ctx.
func (s *subject) open(ctx context.Context, client *http.Client, watches int) error {
	for range watches {
		if _, err := s.get(ctx, client, "/api/v1/pods?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", acceptProtobuf); err != nil {
			return err
		}
	}
	return nil
}

// client has a connection of its own: client-go would share one among all of the same credentials.
func (s *subject) client() (*http.Client, error) {
	tlsConfig, err := rest.TLSConfigFor(s.config)
	if err != nil {
		return nil, err
	}
	transport, err := rest.HTTPWrappersForConfig(s.config, &http.Transport{TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true, DisableCompression: true})
	return &http.Client{Transport: transport}, err
}

// get is an answer whose body is the caller's to read and close.
func (s *subject) get(ctx context.Context, client *http.Client, path, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.config.Host+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10)) // the status says enough
		return nil, fmt.Errorf("GET %s: %s: %s", path, answer.Status, text)
	}
	return answer, nil
}

// fillDatabase stores pods while no server runs, as one would have stored them. Many at a time share a commit.
func fillDatabase(ctx context.Context, path string, pods int) error {
	store, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return err
	}
	// Without their owner, the server would collect the pods.
	if err := storeOwner(ctx, store); err != nil {
		return errors.Join(err, store.Close())
	}
	const together = 64
	failures := make([]error, together)
	var filling sync.WaitGroup
	for worker := range together {
		filling.Go(func() {
			for n := worker; n < pods && failures[worker] == nil; n += together {
				failures[worker] = storePod(ctx, store, n)
			}
		})
	}
	filling.Wait()
	return errors.Join(errors.Join(failures...), store.Close())
}

// storeOwner stores the ReplicaSet that podTemplate says all pods are of.
func storeOwner(ctx context.Context, store storage.Store) error {
	owner := &apps.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "bench", Name: "app-6c5d8f7b9c", UID: "7d444840-9dc0-11d1-b245-5ffdce74fad2"}}
	stored, err := encode(owner, appsv1.SchemeGroupVersion)
	if err != nil {
		return err
	}
	_, _, err = store.Apply(ctx, storage.Write{Key: "/registry/replicasets/bench/" + owner.Name, Value: stored})
	return err
}

func storePod(ctx context.Context, store storage.Store, n int) error {
	stored, err := storedPod(n)
	if err != nil {
		return err
	}
	_, _, err = store.Apply(ctx, storage.Write{Key: "/registry" + key(n), Value: stored})
	return err
}

func storedPod(n int) ([]byte, error) {
	pod, err := newPod(n)
	if err != nil {
		return nil, err
	}
	return encode(pod, corev1.SchemeGroupVersion)
}

// encode encodes an object as the server stores it.
func encode(object kruntime.Object, version schema.GroupVersion) ([]byte, error) {
	info, ok := kruntime.SerializerInfoForMediaType(legacyscheme.Codecs.SupportedMediaTypes(), acceptProtobuf)
	if !ok {
		return nil, fmt.Errorf("there is no serializer for %s", acceptProtobuf)
	}
	return kruntime.Encode(legacyscheme.Codecs.EncoderForVersion(info.Serializer, version), object)
}

// decodedBytes is what so many decoded pods take in this process, with nothing around them. It is the least that upstream's watch
// cache needs of them: the room that Go's collector works in, and the bytes that answers are encoded to, are not in it.
func decodedBytes(pods int) (int64, error) {
	before, err := ownMemory()
	if err != nil {
		return 0, err
	}
	held := make([]*api.Pod, pods)
	for n := range held {
		stored, err := storedPod(n)
		if err != nil {
			return 0, err
		}
		held[n] = &api.Pod{}
		if err := kruntime.DecodeInto(legacyscheme.Codecs.UniversalDecoder(), stored, held[n]); err != nil {
			return 0, err
		}
	}
	after, err := ownMemory()
	runtime.KeepAlive(held)
	return after - before, err
}

func ownMemory() (int64, error) {
	debug.FreeOSMemory()
	return anonymous(os.Getpid())
}

// anonymous is how many bytes a process holds that only its writing has made.
func anonymous(pid int) (int64, error) {
	path := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	for line := range strings.Lines(string(content)) {
		if size, found := strings.CutPrefix(line, "Anonymous:"); found {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(size), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("read memory: %s does not tell", path)
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
