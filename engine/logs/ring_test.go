package logs

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
)

// clocked is a ring with a line for each minute after start.
func clocked(lines ...string) (ring *Ring, start time.Time) {
	ring, start = NewRing(1<<20), time.Date(2026, time.March, 1, 12, 0, 0, 5_000_000, time.UTC)
	for n, text := range lines {
		ring.now = func() time.Time { return start.Add(time.Duration(n) * time.Minute) }
		fmt.Fprintln(ring, text)
	}
	return ring, start
}

func TestLinesAreReadAsKubeletsShowThem(t *testing.T) {
	ring, start := clocked("one", "two", "three")
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"all":                      {Options{}, "one\ntwo\nthree\n"},
		"the last":                 {Options{Tail: ptr.To[int64](2)}, "two\nthree\n"},
		"more than there are":      {Options{Tail: ptr.To[int64](9)}, "one\ntwo\nthree\n"},
		"none":                     {Options{Tail: ptr.To[int64](0)}, ""},
		"since a time":             {Options{Since: start.Add(time.Minute)}, "two\nthree\n"},
		"the last, since a time":   {Options{Tail: ptr.To[int64](2), Since: start.Add(2 * time.Minute)}, "three\n"},
		"since later":              {Options{Since: start.Add(time.Hour)}, ""},
		"so many bytes":            {Options{LimitBytes: ptr.To[int64](6)}, "one\ntw"},
		"as many bytes as a line":  {Options{LimitBytes: ptr.To[int64](4)}, "one\n"},
		"with times":               {Options{Timestamps: true, Tail: ptr.To[int64](1)}, "2026-03-01T12:02:00.005000000Z three\n"},
		"times count for the size": {Options{Timestamps: true, LimitBytes: ptr.To[int64](33)}, "2026-03-01T12:00:00.005000000Z on"},
	} {
		t.Run(name, func(t *testing.T) {
			reader := ring.Open(t.Context(), test.options)
			defer reader.Close()
			got, err := io.ReadAll(reader)
			if diff := cmp.Diff(test.want, string(got)); diff != "" || err != nil {
				t.Errorf("error %v, -want +got:\n%s", err, diff)
			}
		})
	}
}

func TestOnlySoMuchIsKept(t *testing.T) {
	const limit = 4 << 10
	ring := NewRing(limit)
	for n := range 10_000 {
		fmt.Fprintf(ring, "line %d\n", n)
	}
	if ring.bytes > limit {
		t.Errorf("keeps %d bytes, of at most %d", ring.bytes, limit)
	}
	reader := ring.Open(t.Context(), Options{})
	defer reader.Close()
	got, err := io.ReadAll(reader)
	if err != nil || !strings.HasSuffix(string(got), "\nline 9998\nline 9999\n") {
		t.Errorf("error %v, ends %q", err, got[max(0, len(got)-40):])
	}
	fmt.Fprintln(ring, strings.Repeat("x", 10*maxLine))
	if kept := ring.lines[len(ring.lines)-1].text; len(kept) > maxLine+len(cutMark) || !strings.HasSuffix(kept, cutMark) {
		t.Errorf("of a long line %d bytes are kept", len(kept))
	}
}

func TestAFollowerSeesEachLineUntilItLeaves(t *testing.T) {
	ring := NewRing(1 << 20)
	fmt.Fprintln(ring, "before")
	ctx, cancel := context.WithCancel(t.Context())
	reader := ring.Open(ctx, Options{Follow: true})
	defer reader.Close()
	for _, want := range []string{"before", "then", "last"} {
		if want != "before" {
			go fmt.Fprintln(ring, want)
		}
		got := make([]byte, len(want)+1)
		if _, err := io.ReadFull(reader, got); err != nil || string(got) != want+"\n" {
			t.Fatalf("got %q, %v, want %s", got, err, want)
		}
	}
	cancel()
	if n, err := reader.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after it has left: %d bytes, %v", n, err)
	}
}

func TestWhoIsTooSlowIsToldWhatIsMissing(t *testing.T) {
	ring := NewRing(10 * (lineOverhead + 1))
	fmt.Fprintln(ring, "a")
	reader := ring.Open(t.Context(), Options{Follow: true, LimitBytes: ptr.To[int64](2 + 52 + 2)})
	defer reader.Close()
	if _, err := io.ReadFull(reader, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	for range 110 {
		fmt.Fprintln(ring, "b")
	}
	got, err := io.ReadAll(reader)
	if want := "(100 lines were forgotten before they could be read)\nb"; !strings.HasPrefix(string(got), want) || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestManyWriteAndReadAtOnce(t *testing.T) {
	ring := NewRing(1 << 12)
	var writing, reading sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range 4 {
		reading.Go(func() {
			reader := ring.Open(ctx, Options{Follow: true})
			defer reader.Close()
			_, _ = io.Copy(io.Discard, reader)
		})
		writing.Go(func() {
			for n := range 1000 {
				fmt.Fprintln(ring, n)
			}
		})
	}
	writing.Wait()
	cancel()
	reading.Wait()
}
