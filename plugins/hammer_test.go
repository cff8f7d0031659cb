package plugins_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/plugins"
	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/plugintest"
)

// TestTheFolderChangesUnderLoad swaps a plugin's files over and over while requests pass: every one must be answered by
// revisions that were whole, and nothing of the revisions that have gone may stay.
func TestTheFolderChangesUnderLoad(t *testing.T) {
	const swaps, clients = 50, 16
	goroutines, before, cache := runtime.NumGoroutine(), usage(t), t.TempDir()
	var kept atomic.Int64 // modules that the garbage collector has not seen off
	func() {
		h := open(t, files{"guest.wasm": string(guesttest.Allow(t, 'a'))}, func(o *plugins.Options) {
			o.Limits.Instances, o.CacheDir = 4, cache
		})
		defer h.close()
		stop := make(chan struct{})
		var load sync.WaitGroup
		for range clients {
			load.Go(func() { h.hammer(stop) })
		}
		for i := range swaps {
			h.write(files{"guest.wasm": string(guesttest.Allow(t, 'a'+byte((i+1)%26)))})
			if i%5 == 4 { // now and then a broken version, which must not be noticed
				h.write(files{"guest.wasm": "broken"})
			}
			h.sync()
			h.Trim(time.Now().Add(time.Hour))
			for _, m := range h.Modules() {
				kept.Add(1)
				runtime.AddCleanup(m, func(*atomic.Int64) { kept.Add(-1) }, nil)
			}
		}
		close(stop)
		load.Wait()
	}()
	settle(t, "goroutines", func() (int, int) { return runtime.NumGoroutine(), goroutines })
	settle(t, "modules", func() (int, int) { return int(kept.Load()), 0 })
	settle(t, "pieces of machine code", func() (int, int) { return usage(t).code, before.code })
	// Go itself keeps a few from the first time on that files are waited for.
	settle(t, "open files", func() (int, int) { return usage(t).files, before.files + 5 })
	// Each revision had 4 MiB of addresses for an instance at least. Go reserves addresses as well, but not as many.
	settle(t, "bytes reserved for guests", func() (int, int) { return usage(t).reserved, before.reserved + 64<<20 })
	if compiled, err := os.ReadDir(cache); err != nil || len(compiled) > 10 {
		t.Errorf("the cache keeps the code of %d modules (%v)", len(compiled), err)
	}
}

// TestDecisionsHoldWhileAPluginIsReplaced swaps what authenticates and authorizes while requests pass: each is let in by one
// revision or the other, and denied by one or the other, and none slips through between.
func TestDecisionsHoldWhileAPluginIsReplaced(t *testing.T) {
	const swaps, clients = 20, 8
	version := func(name string) files {
		return merge(
			says(t, "id", token(`{"authenticated":true,"user":{"username":"`+name+`"}}`), "roles: [authenticate]"),
			says(t, "judge", access(`{"denied":true,"reason":"`+name+`"}`), "roles: [authorize]"),
		)
	}
	h := open(t, version("v0"))
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range clients {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if who := h.identify(withToken()); !strings.HasPrefix(who, "v") {
					t.Errorf("let in as %s", who)
					return
				}
				if got := h.decide(t.Context(), getPod()); !strings.HasPrefix(got, `denied, authorization plugin "judge" denied the request: v`) {
					t.Errorf("decided %s", got)
					return
				}
			}
		})
	}
	for i := range swaps {
		h.write(version(fmt.Sprint("v", i+1)))
		h.sync()
		if who, want := h.identify(withToken()), fmt.Sprintf(`v%d "" [] map[] []`, i+1); who != want {
			t.Errorf("let in as %s after the change, want %s", who, want)
		}
	}
	close(stop)
	load.Wait()
}

// hammer sends requests until told to stop, and checks that each is answered by whole revisions.
func (h *host) hammer(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		w := &plugintest.Warnings{}
		if err := h.admit(w.Context(h.t.Context()), plugintest.Create(plugintest.Pod(nil))); err != nil {
			h.t.Errorf("denied: %v", err)
			return
		}
		whole := len(w.Texts) == 2 && !slices.ContainsFunc(w.Texts, func(s string) bool { return !strings.HasPrefix(s, "build-") })
		if !whole {
			h.t.Errorf("answered by %q, want two builds", w.Texts)
			return
		}
	}
}

// settle waits until a count that falls by itself is down to what it should be.
func settle(t *testing.T, what string, count func() (got, want int)) {
	t.Helper()
	for {
		runtime.GC()
		got, want := count()
		if got <= want {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%d %s are left, want %d", got, what, want)
		default:
			runtime.Gosched()
		}
		if deadline, ok := t.Deadline(); ok && time.Until(deadline) < time.Minute {
			t.Fatalf("%d %s are left, want %d", got, what, want)
		}
	}
}

// held is what the process has of the system's.
type held struct {
	files int
	// code counts the pieces of machine code in memory that come from no file, reserved the bytes of addresses that nothing may use
	// yet.
	code, reserved int
}

// usage tells what this process holds; nothing where the system does not say.
func usage(t *testing.T) held {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return held{}
	}
	var h held
	for line := range bytes.Lines(maps) {
		var from, to uint64
		var rights, offset, device, inode string
		if _, err := fmt.Sscanf(string(line), "%x-%x %s %s %s %s", &from, &to, &rights, &offset, &device, &inode); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		switch {
		case inode != "0" || strings.Contains(string(line), "["):
		case strings.Contains(rights, "x"):
			h.code++
		case strings.HasPrefix(rights, "---"):
			h.reserved += int(to - from)
		}
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	h.files = len(files)
	return h
}
