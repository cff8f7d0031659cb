package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	corev1 "k8s.io/api/core/v1"

	"gatehouse/tests/harness"
)

const (
	kills   = 10
	writers = 16
	// names is how many objects each writer has; writes fall on them at random.
	names = 8
	// between two kills, at least leastWrites and less than mostWrites writes are acknowledged.
	leastWrites, mostWrites = 50, 500

	patience = time.Minute

	// written selects what the writers write, and not what the server puts into each namespace.
	written = "metadata.name!=kube-root-ca.crt"
)

// TestKillNine kills the server ten times under sixteen writers. Every acknowledged write must be there afterwards, and no
// other; revisions must only ever grow; and a watch that resumes from the last revision it saw must miss and repeat nothing.
func TestKillNine(t *testing.T) {
	server := harness.Start(t, harness.Options{})
	client, err := kubernetes.NewForConfig(server.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	maps := client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	begin, err := maps.List(t.Context(), metav1.ListOptions{FieldSelector: written})
	if err != nil {
		t.Fatal(err)
	}
	books := newLedger()
	follower := &watcher{maps: maps, seen: newLedger(), revision: revision(t, begin)}
	watching, stopWatching := context.WithCancel(t.Context())
	defer stopWatching()
	followed := make(chan error, 1)
	go func() { followed <- follower.follow(watching) }()

	random := rand.New(rand.NewPCG(7, 7))
	latest := revision(t, begin)
	for range kills {
		crashUnderWriters(t, server, maps, books, leastWrites+random.IntN(mostWrites-leastWrites))
		latest = wantEverything(t, maps, books, latest)
	}

	last, err := maps.Create(t.Context(), object("last", "last"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := books.wrote(last); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = harness.Poll(ctx, func() error {
		select {
		case err := <-followed:
			return harness.Hopeless(fmt.Errorf("the watch failed: %w", err))
		default:
		}
		if at := follower.at(); at < revision(t, last) {
			return fmt.Errorf("the watch is at %d, want it at %s", at, last.ResourceVersion)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := books.compare(follower.seen); err != nil {
		t.Error(err)
	}
	t.Logf("%d writes were acknowledged", books.acknowledged())
}

// crashUnderWriters lets all writers write, kills the server once so many writes are acknowledged, and starts it again.
func crashUnderWriters(t *testing.T, server *harness.Server, maps corev1client.ConfigMapInterface, books *ledger, writes int) {
	t.Helper()
	target := books.acknowledged() + writes
	reached := make(chan struct{})
	tell := sync.OnceFunc(func() { close(reached) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	failures := make(chan error, writers)
	for id := range writers {
		go func() {
			w := writer{id: id, maps: maps, books: books, random: rand.New(rand.NewPCG(uint64(target), uint64(id)))}
			failures <- w.writeUntilDown(ctx, func() {
				if books.acknowledged() >= target {
					tell()
				}
			})
		}()
	}
	select {
	case <-reached:
	case <-ctx.Done():
		t.Fatal("the writers are too slow")
	}
	server.Kill()
	for range writers {
		if err := <-failures; err != nil {
			t.Fatal(err)
		}
	}
	server.Restart()
}

// wantEverything fails unless what is there is what was acknowledged, at a revision that is not less than any before. It
// returns that revision.
func wantEverything(t *testing.T, maps corev1client.ConfigMapInterface, books *ledger, latest int64) int64 {
	t.Helper()
	list, err := maps.List(t.Context(), metav1.ListOptions{FieldSelector: written})
	if err != nil {
		t.Fatal(err)
	}
	if err := books.settle(list.Items); err != nil {
		t.Fatalf("after a crash:\n%v", err)
	}
	now := revision(t, list)
	for _, name := range books.sortedNames() {
		at, err := strconv.ParseInt(books.know(name).revision, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		latest = max(latest, at)
	}
	if now < latest {
		t.Fatalf("the revision is %d, and was %d", now, latest)
	}
	return now
}

// writer writes to objects that are its own, one write at a time.
type writer struct {
	id     int
	maps   corev1client.ConfigMapInterface
	books  *ledger
	random *rand.Rand
	count  int
}

// writeUntilDown writes until the server is gone. The error is that it answered what it must not.
func (w *writer) writeUntilDown(ctx context.Context, acknowledged func()) error {
	for {
		c := change{name: fmt.Sprintf("w%d-%d", w.id, w.random.IntN(names))}
		if w.random.IntN(4) > 0 {
			w.count++
			c.value = fmt.Sprintf("%d of writer %d in run %d", w.count, w.id, w.random.Int())
		}
		known := w.books.know(c.name)
		if known == (state{}) && c.value == "" {
			continue // nothing to delete
		}
		switch err := w.do(ctx, c, known); {
		case err == nil:
			acknowledged()
		case isDown(err):
			w.books.doubt(c)
			return nil
		default:
			return fmt.Errorf("writer %d: change %v of %v: %w", w.id, c, known, err)
		}
	}
}

// do makes one change and records that it was acknowledged. It minds revisions, so that one that went back would be a conflict.
func (w *writer) do(ctx context.Context, c change, known state) error {
	switch {
	case c.value == "":
		mind := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &known.uid, ResourceVersion: &known.revision}}
		if err := w.maps.Delete(ctx, c.name, mind); err != nil {
			return err
		}
		w.books.removed(c.name)
		return nil
	case known == (state{}):
		created, err := w.maps.Create(ctx, object(c.name, c.value), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		return w.books.wrote(created)
	default:
		update := object(c.name, c.value)
		update.UID, update.ResourceVersion = known.uid, known.revision
		updated, err := w.maps.Update(ctx, update, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		return w.books.wrote(updated)
	}
}

// isDown is true for errors of a connection; what the server says itself is an APIStatus.
func isDown(err error) bool {
	var said apierrors.APIStatus
	return err != nil && !errors.As(err, &said) && !errors.Is(err, context.DeadlineExceeded)
}

func object(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"value": value}}
}

// revision reads a resource version, which is a number.
func revision(t *testing.T, of interface{ GetResourceVersion() string }) int64 {
	t.Helper()
	revision, err := strconv.ParseInt(of.GetResourceVersion(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}
