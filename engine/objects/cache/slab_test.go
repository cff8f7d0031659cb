package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"gatehouse/engine/storage"
)

// state is an arena's totals, to compare.
type state struct{ Mapped, Used, Empty int64 }

func (a *arena) state() state { return state{a.mapped.Load(), a.used.Load(), a.empty.Load()} }

// settled collects until the totals are as wanted; given up slabs are found and given back one after the other.
func (a *arena) settled(t *testing.T, want func(state) bool) state {
	t.Helper()
	for range 100 {
		if now := a.state(); want(now) {
			return now
		}
		runtime.GC()
		runtime.Gosched()
	}
	now := a.state()
	t.Errorf("the arena does not settle: %+v", now)
	return now
}

func TestFormsAreCopiesOfWhatWasStored(t *testing.T) {
	a := newArena()
	var forms []Form
	var want [][]byte
	for _, size := range []int{0, 1, 100, slabSize / 4, slabSize/4 + 1, slabSize, 3 * slabSize, 5000} {
		stored := bytes.Repeat([]byte{byte(size)}, size)
		forms = append(forms, a.store(stored), NewForm(bytes.Clone(stored)))
		want = append(want, bytes.Clone(stored), bytes.Clone(stored))
		for i := range stored {
			stored[i]++ // the arena must have a copy
		}
	}
	forms, want = append(forms, Form{}), append(want, nil)
	for i, f := range forms {
		if got := f.AppendTo([]byte("before")); string(got) != "before"+string(want[i]) {
			t.Errorf("form %d is %.100q, want what was there before and %.100q", i, got, want[i])
		}
		if n := f.Len(); n != len(want[i]) {
			t.Errorf("form %d tells its length as %d, want %d", i, n, len(want[i]))
		}
		from, to := f.Len()/3, f.Len()/2
		if got := f.Slice(from, to).AppendTo(nil); !bytes.Equal(got, want[i][from:to]) {
			t.Errorf("a part of form %d is %q, want %q", i, got, want[i][from:to])
		}
	}
}

func TestAPartOfAFormDoesNotReachItsNeighbours(t *testing.T) {
	a := newArena()
	f := a.store([]byte("abc"))
	a.store([]byte("neighbour"))
	for _, bad := range [][2]int{{0, 4}, {2, 1}, {-1, 1}, {4, 4}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("[%d:%d] of three bytes was given", bad[0], bad[1])
				}
			}()
			f.Slice(bad[0], bad[1])
		}()
	}
}

func TestSlabsAreGivenBackWhenNobodyCanReadThem(t *testing.T) {
	a := newArena()
	held := a.store(make([]byte, 1000))
	func() {
		forms := make([]Form, 3*slabSize/1000)
		for i := range forms {
			forms[i] = a.store(make([]byte, 1000))
		}
		large := a.store(make([]byte, 2*slabSize))
		if now := a.state(); now.Mapped < 5*slabSize || now.Used != int64(len(forms)+1)*1000+2*slabSize {
			t.Errorf("after storing: %+v", now)
		}
		for _, f := range append(forms, large) {
			a.free(f)
		}
	}()
	// The slab that is being filled and the first one, of which a form is held, stay.
	a.settled(t, func(s state) bool { return s == state{Mapped: 2 * slabSize, Used: 1000} })
	a.free(held)
	if now := a.state(); now.Empty != slabSize {
		t.Errorf("a slab in which nothing is kept, but read: %+v", now)
	}
	if n := len(held.AppendTo(nil)); n != 1000 {
		t.Errorf("a form that is held while it is freed has %d bytes", n)
	}
	runtime.KeepAlive(held)
	held = Form{}
	a.settled(t, func(s state) bool { return s == state{Mapped: slabSize} })
	runtime.KeepAlive(a)
}

func TestAForgottenArenaIsGivenBackWhole(t *testing.T) {
	totals := func() *totals {
		a := newArena()
		a.store(make([]byte, 1000))
		a.store(make([]byte, slabSize))
		return a.totals
	}()
	(&arena{totals: totals}).settled(t, func(s state) bool { return s == state{} })
}

// TestChurnDoesNotPinMemory replaces everything many times over, in an order in which old and new lie side by side, and so that
// some objects stay for ever.
func TestChurnDoesNotPinMemory(t *testing.T) {
	const pods, rounds = 800, 12
	h := open(t, Options{WindowEvents: 100})
	h.view(t)
	revision := int64(1)
	put := func(i int) {
		revision++
		h.Observe([]storage.Event{eventOf(t, typicalPod(i), revision, nil)})
		e := h.pods.present.get(keyOf("shop", typicalPod(i).Name))
		form(t, e, h.version, JSON)
		if i%2 == 0 {
			form(t, e, h.version, Protobuf)
		}
	}
	for i := range pods {
		put(i)
	}
	random := rand.New(rand.NewPCG(1, 2))
	most := state{}
	for n := range pods * rounds {
		put(pods/10 + random.IntN(pods-pods/10))
		if now := h.arena.state(); now.Mapped > most.Mapped {
			most = now
		}
		if n%1000 == 0 {
			// What is in memory is the sweeper's to bound; the wait for it is not.
			h.sweeper.sweep(h.Cache)
		}
	}
	h.sweeper.sweep(h.Cache)
	bound := func(s state) int64 { return s.Used + s.Used/mostWasted + s.Used/mostEmpty + 2*slack }
	now := h.arena.settled(t, func(s state) bool { return s.Mapped <= bound(s) })
	t.Logf("%d bytes are used, %d mapped; most was mapped at %+v", now.Used, now.Mapped, most)
	if want := int64(pods) * 6000; now.Used < want || now.Used > 2*want {
		t.Errorf("%d bytes are told as used, by %d pods of some %d", now.Used, pods, 6000)
	}
	for e := range h.view(t).Scan("", "") {
		var served corev1.Pod
		if err := json.Unmarshal(form(t, e, h.version, JSON), &served); err != nil || !strings.HasSuffix(e.Key(), served.Name) {
			t.Fatalf("%s is served as %s, error %v", e.Key(), served.Name, err)
		}
	}
}

// TestUsedIsWhatIsKept holds the count of used bytes, by which the sweeper goes, to what is there.
func TestUsedIsWhatIsKept(t *testing.T) {
	h := open(t, Options{FormBytes: 40 << 10, WindowEvents: 4})
	oneWay := &Version{Encode: h.encode}
	h.view(t)
	for n := range 200 {
		p := pod(fmt.Sprintf("pod-%d", n%20))
		p.Annotations = map[string]string{"filling": strings.Repeat("x", n*7%3000)}
		if n%7 == 6 && h.view(t).Get(keyOf(p.Namespace, p.Name)) != nil {
			h.remove(t, p)
			continue
		}
		h.put(t, p)
		e := h.view(t).Get(keyOf(p.Namespace, p.Name))
		form(t, e, h.version, Encoding(n%2))
		form(t, e, oneWay, Encoding(n/2%2))
		if n%10 == 0 {
			h.Cache.move()
		}
	}
	kept := map[*Entry]bool{}
	for e := range h.view(t).Scan("", "") {
		kept[e] = true
	}
	_, events := h.pods.all()
	for _, e := range events {
		if e.Previous != nil {
			kept[e.Previous] = true
		}
	}
	var want int64
	for e := range kept {
		want += int64(e.content.Load().form.Len())
	}
	h.budget.mu.Lock()
	for k, n := h.budget.hand, 0; k != h.budget.hand || n == 0; k, n = k.next, n+1 {
		want += int64(k.form.Len())
	}
	h.budget.mu.Unlock()
	if got := h.arena.used.Load(); got != want {
		t.Errorf("%d bytes are told as used, %d are", got, want)
	}
}

// TestReadersOutliveSlabs reads, replaces, evicts and moves at once. Slabs that are given back must not be read any more: on
// systems where they can be, they are made unreadable instead, so that a read of one ends the test.
func TestReadersOutliveSlabs(t *testing.T) {
	const pods, readers = 60, 4
	h := open(t, Options{FormBytes: 100 << 10, WindowEvents: 10})
	released := h.arena.poison(t)
	h.view(t)
	put := func(i int, revision int64) {
		h.Observe([]storage.Event{eventOf(t, typicalPod(i), revision, nil)})
	}
	revision := int64(1)
	for i := range pods {
		revision++
		put(i, revision)
	}
	done := make(chan struct{})
	var wait sync.WaitGroup
	for reader := range readers {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(uint64(reader), 0))
			for {
				select {
				case <-done:
					return
				default:
					readAll(t, h, Encoding(random.IntN(2)))
				}
			}
		})
	}
	for range 400 {
		for range 20 {
			revision++
			put(int(revision%7*revision%pods), revision)
		}
		h.Cache.move()
		runtime.GC()
		if released.Load() > 200 {
			break
		}
	}
	close(done)
	wait.Wait()
	if n := released.Load(); n < 10 {
		t.Errorf("only %d slabs were given back: nothing has been tried", n)
	}
}

// readAll takes the forms of a view first, and reads them then.
func readAll(t *testing.T, h *house, encoding Encoding) {
	var forms []Form
	var names []string
	for e := range h.view(t).Scan("", "") {
		f, err := e.Form(h.version, encoding)
		if err != nil {
			t.Error(err)
			return
		}
		forms, names = append(forms, f), append(names, e.Key()[strings.LastIndexByte(e.Key(), '/')+1:])
	}
	runtime.Gosched()
	for i, f := range forms {
		if read := f.AppendTo(nil); len(read) != f.Len() || !bytes.Contains(read, []byte(names[i])) {
			t.Errorf("the form of %s is %.200q", names[i], read)
		}
	}
}
