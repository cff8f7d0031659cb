package sandbox_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/sandbox"
)

// testLimits are tight for what a guest takes and roomy for the clock, so that only guests that never end are overdue.
func testLimits() sandbox.Limits {
	return sandbox.Limits{Memory: 4 << 20, Deadline: time.Minute, Start: time.Minute, Output: 1 << 20, Instances: 2}
}

// impatient is for guests that never end.
func impatient(l sandbox.Limits) sandbox.Limits {
	l.Deadline, l.Start = 20*time.Millisecond, 20*time.Millisecond
	return l
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func load(t *testing.T, wasm []byte, options sandbox.Options) *sandbox.Module {
	t.Helper()
	if options.Logger == nil {
		options.Logger = quiet()
	}
	options.Limits = options.Limits.Or(testLimits())
	m, err := sandbox.Load(context.Background(), wasm, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// ask returns a copy of the guest's answer.
func ask(m *sandbox.Module, request sandbox.Request) (string, error) {
	var answer string
	err := m.Call(context.Background(), sandbox.Admit, request, func(b []byte) error {
		answer = string(b)
		return nil
	})
	return answer, err
}

func TestEveryMisbehavingGuestIsAFaultThatNamesItsCause(t *testing.T) {
	for _, guest := range guesttest.AllMisbehaving(t) {
		t.Run(guest.Guest, func(t *testing.T) {
			limits := testLimits()
			if strings.Contains(guest.Cause, "deadline") {
				limits = impatient(limits)
			}
			err := runOnce(guest.Wasm, limits, guest.When)
			var fault *sandbox.Fault
			if !errors.As(err, &fault) {
				t.Fatalf("got %v, want a fault", err)
			}
			if !strings.Contains(fault.Cause, guest.Cause) || strings.Contains(fault.Cause, "\n") {
				t.Errorf("the cause is %q, want one line with %q in it", fault.Cause, guest.Cause)
			}
		})
	}
}

// runOnce loads a guest and, if it is to fail then, calls it, taking every answer for JSON that is none.
func runOnce(wasm []byte, limits sandbox.Limits, when guesttest.When) error {
	m, err := sandbox.Load(context.Background(), wasm, sandbox.Options{Limits: limits, Logger: quiet()})
	if err != nil {
		if when == guesttest.Calling {
			return errors.New("refused at load, not at the call: " + err.Error())
		}
		return err
	}
	defer m.Close()
	if when == guesttest.Loading {
		return errors.New("loaded")
	}
	return m.Call(context.Background(), sandbox.Admit, sandbox.Request{Payload: []byte("{}")}, func([]byte) error {
		return sandbox.Garbledf("admit: its answer is no AdmissionReview")
	})
}

func TestAFaultyInstanceIsReplaced(t *testing.T) {
	m := load(t, guesttest.Read(t, "trap"), sandbox.Options{Limits: sandbox.Limits{Instances: 1}})
	for range 3 { // with the one slot lost, the second call would wait for ever
		if _, err := ask(m, sandbox.Request{Payload: []byte("x")}); err == nil {
			t.Fatal("a trap came back as an answer")
		}
	}
	if left := m.Trim(time.Now().Add(-time.Hour)); left != 0 {
		t.Errorf("%d instances are kept after a trap, want none", left)
	}
}

func TestAPayloadIsMadeOnlyForGuestsThatTakeOne(t *testing.T) {
	refused := errors.New("cannot be encoded")
	fails := func() ([]byte, error) { return nil, refused }
	made := func() ([]byte, error) { return []byte("x"), nil }
	for _, test := range []struct {
		name, guest, want string
		encode            func() ([]byte, error)
		err               error
	}{
		{"a guest that looks at fields is given none", "by-field", "ok", fails, nil},
		{"a guest that takes one is given it", "allow", "{", made, nil},
		{"an error is passed on", "allow", "", fails, refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := load(t, guesttest.Read(t, test.guest), sandbox.Options{Limits: sandbox.Limits{Instances: 1}})
			got, err := ask(m, sandbox.Request{Encode: test.encode})
			if !strings.HasPrefix(got, test.want) || !errors.Is(err, test.err) {
				t.Errorf("got %q, %v, want %q, %v", got, err, test.want, test.err)
			}
			if left := m.Trim(time.Now().Add(-time.Hour)); left != 1 {
				t.Errorf("%d instances are left, want the one", left)
			}
		})
	}
}

func TestAnErrorOfTheReaderKeepsTheInstance(t *testing.T) {
	m := load(t, guesttest.Read(t, "allow"), sandbox.Options{})
	denied := errors.New("denied")
	err := m.Call(context.Background(), sandbox.Admit, sandbox.Request{Payload: []byte("x")}, func([]byte) error { return denied })
	if !errors.Is(err, denied) {
		t.Fatalf("got %v, want the reader's error", err)
	}
	if left := m.Trim(time.Now().Add(-time.Hour)); left != 1 {
		t.Errorf("%d instances are kept, want the one", left)
	}
}

func TestIdleInstancesAreDropped(t *testing.T) {
	m := load(t, guesttest.Read(t, "allow"), sandbox.Options{})
	if left := m.Trim(time.Now().Add(-time.Hour)); left != 1 {
		t.Fatalf("%d instances after loading, want the one that proved it can start", left)
	}
	if left := m.Trim(time.Now().Add(time.Hour)); left != 0 {
		t.Fatalf("%d instances are left after an hour of idleness", left)
	}
	if _, err := ask(m, sandbox.Request{Payload: []byte("x")}); err != nil {
		t.Errorf("no new instance came up: %v", err)
	}
}

func TestACallWaitsForAFreeInstance(t *testing.T) {
	limits := sandbox.Limits{Instances: 1, Queue: time.Millisecond}
	m := load(t, guesttest.Read(t, "allow"), sandbox.Options{Limits: limits})
	request := sandbox.Request{Payload: []byte("x")}
	err := m.Call(context.Background(), sandbox.Admit, request, func([]byte) error {
		_, err := ask(m, request)
		return err
	})
	var fault *sandbox.Fault
	if !errors.As(err, &fault) || fault.Kind != sandbox.Busy {
		t.Errorf("got %v while the only instance was in use, want a fault of kind busy", err)
	}
}

func TestACancelledRequestDoesNotWait(t *testing.T) {
	m := load(t, guesttest.Read(t, "allow"), sandbox.Options{Limits: sandbox.Limits{Instances: 1, Queue: time.Hour}})
	gone := errors.New("the client went away")
	request := sandbox.Request{Payload: []byte("x")}
	err := m.Call(context.Background(), sandbox.Admit, request, func([]byte) error {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(gone)
		return m.Call(ctx, sandbox.Admit, request, func([]byte) error { return nil })
	})
	if !errors.Is(err, gone) {
		t.Errorf("got %v, want the reason of the cancellation", err)
	}
}

func TestARequestOutOfTimeIsNotTheGuestsFault(t *testing.T) {
	m := load(t, guesttest.Read(t, "loop"), sandbox.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err := m.Call(ctx, sandbox.Admit, sandbox.Request{Payload: []byte("x")}, func([]byte) error { return nil })
	var fault *sandbox.Fault
	if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &fault) {
		t.Errorf("got %v, want the request's own deadline", err)
	}
}

func TestCloseLetsCallsFinishAndRefusesNewOnes(t *testing.T) {
	m, err := sandbox.Load(context.Background(), guesttest.Read(t, "allow"), sandbox.Options{Limits: testLimits(), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	request := sandbox.Request{Payload: []byte("x")}
	inside, leave, result := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		result <- m.Call(context.Background(), sandbox.Admit, request, func(answer []byte) error {
			close(inside)
			<-leave
			if len(answer) == 0 || answer[0] != '{' {
				return errors.New("the answer is gone")
			}
			return nil
		})
	}()
	<-inside
	closed := make(chan struct{})
	go func() { m.Close(); close(closed) }()
	for {
		if _, err := ask(m, request); errors.Is(err, sandbox.ErrClosed) {
			break
		}
	}
	select {
	case <-closed:
		t.Fatal("Close did not wait for the call under way")
	default:
	}
	close(leave)
	if err := <-result; err != nil {
		t.Errorf("the call under way ended with %v", err)
	}
	<-closed
}

func TestADamagedCacheDoesNotStopAGoodGuest(t *testing.T) {
	dir := t.TempDir()
	load(t, guesttest.Read(t, "allow"), sandbox.Options{CacheDir: dir})
	entries, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("the cache holds %v (%v), want one entry", entries, err)
	}
	if err := os.WriteFile(entries[0], []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	m := load(t, guesttest.Read(t, "allow"), sandbox.Options{CacheDir: dir, Logger: logger})
	if _, err := ask(m, sandbox.Request{Payload: []byte("x")}); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "compiled without the cache") {
		t.Errorf("the log does not tell: %s", log.String())
	}
}

func TestLoadingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	gone := errors.New("the file was removed")
	cancel(gone)
	m, err := sandbox.Load(ctx, guesttest.Read(t, "allow"), sandbox.Options{Limits: testLimits(), Logger: quiet()})
	if err == nil {
		m.Close()
	}
	if !errors.Is(err, gone) {
		t.Errorf("got %v, want the reason of the cancellation", err)
	}
}

func TestTheCompiledFixturesAreWhatTheirSourcesSay(t *testing.T) {
	tool, err := exec.LookPath("wat2wasm")
	if err != nil {
		t.Skip("wat2wasm is not installed (Debian: apt install wabt): cannot compare the .wasm fixtures with their .wat")
	}
	sources, err := filepath.Glob(filepath.Join(guesttest.Dir(), "*.wat"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no fixtures found: %v", err)
	}
	for _, source := range sources {
		name := strings.TrimSuffix(filepath.Base(source), ".wat")
		built := filepath.Join(t.TempDir(), name+".wasm")
		if out, err := exec.Command(tool, source, "-o", built).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		want, err := os.ReadFile(built)
		if err != nil {
			t.Fatal(err)
		}
		if string(guesttest.Read(t, name)) != string(want) {
			t.Errorf("%s.wasm is not what wat2wasm makes of %s.wat: compile it again", name, name)
		}
	}
}
