package plugins_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/plugins"
	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/plugintest"
	"gatehouse/plugins/sandbox"
)

// builds are the warnings by which a request tells which builds of the guest "allow" it met.
func (h *host) builds() []string {
	h.t.Helper()
	w := &plugintest.Warnings{}
	if err := h.admit(w.Context(h.t.Context()), plugintest.Create(plugintest.Pod(nil))); err != nil {
		h.t.Fatal(err)
	}
	return w.Texts
}

// until waits for the folder to be read by itself.
func (h *host) until(what string, met func([]plugins.Status) bool) {
	h.t.Helper()
	for {
		changed := h.Changed()
		if met(h.List()) {
			return
		}
		select {
		case <-changed:
		case <-h.t.Context().Done():
			h.t.Fatalf("never %s: %+v", what, h.List())
		}
	}
}

func TestTheFolderIsFollowed(t *testing.T) {
	h := open(t, nil)
	h.write(files{"guest.wasm": string(guesttest.Allow(t, 'a'))})
	h.until("loaded", func(l []plugins.Status) bool { return len(l) == 1 && l[0].State == plugins.Serving })
	first := h.only()
	if diff := cmp.Diff([]string{"build-a", "build-a"}, h.builds()); diff != "" {
		t.Errorf("the new file (-want +got):\n%s", diff)
	}

	h.write(files{"guest.wasm": string(guesttest.Allow(t, 'b'))})
	h.until("replaced", func(l []plugins.Status) bool { return l[0].Revision != first.Revision })
	if diff := cmp.Diff([]string{"build-b", "build-b"}, h.builds()); diff != "" {
		t.Errorf("the changed file (-want +got):\n%s", diff)
	}

	second := h.only()
	h.write(files{"guest.yaml": "description: now described\nadmission: {phases: [mutate]}\n"})
	h.until("described", func(l []plugins.Status) bool { return l[0].Description == "now described" })
	if h.only().Revision == second.Revision {
		t.Error("a changed manifest is no new revision")
	}
	if diff := cmp.Diff([]string{"build-b"}, h.builds()); diff != "" {
		t.Errorf("the new manifest (-want +got):\n%s", diff)
	}

	h.write(files{"guest.wasm": ""})
	h.until("removed", func(l []plugins.Status) bool { return len(l) == 0 })
	if got := h.builds(); len(got) != 0 {
		t.Errorf("a removed plugin is asked: %v", got)
	}
}

func TestAFileWrittenInPlaceIsReadOnceItIsWhole(t *testing.T) {
	h := open(t, nil)
	wasm := guesttest.Allow(t, 'a')
	file, err := os.Create(filepath.Join(h.dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(wasm[:40]); err != nil {
		t.Fatal(err)
	}
	h.until("seen half written", func(l []plugins.Status) bool { return len(l) == 1 && l[0].State == plugins.Broken })
	if _, err := file.Write(wasm[40:]); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	h.until("loaded", func(l []plugins.Status) bool { return l[0].State == plugins.Serving })
}

func TestABrokenNewVersionLeavesTheOldOneServing(t *testing.T) {
	for _, test := range []struct {
		name    string
		content files
		cause   string
	}{
		{"a module that is none", files{"guest.wasm": "oops"}, "is no WebAssembly module"},
		{"a module that does not start", files{"guest.wasm": string(guesttest.Read(t, "start-trap"))}, "starting: the guest trapped"},
		{"a manifest that is none", files{"guest.yaml": "addmission: {}"}, `guest.yaml: unknown field "addmission"`},
		{"settings the guest cannot take", files{"guest.yaml": "settings: {a: 1}"}, `exports no "configure"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, files{"guest.wasm": string(guesttest.Allow(t, 'a')), "guest.yaml": "admission: {phases: [mutate]}"})
			good := h.only()
			h.write(test.content)
			h.sync()
			stale := h.only()
			if stale.State != plugins.Stale || stale.Revision != good.Revision || stale.Fault == nil || !strings.Contains(stale.Fault.Error(), test.cause) {
				t.Errorf("the status is %+v, want %s stale with %q", stale, good.Revision, test.cause)
			}
			if !strings.Contains(h.log.String(), "plugin's new version is broken, the old one serves on") {
				t.Errorf("the log does not tell:\n%s", h.log)
			}
			if diff := cmp.Diff([]string{"build-a"}, h.builds()); diff != "" {
				t.Errorf("the old version (-want +got):\n%s", diff)
			}
			h.write(files{"guest.wasm": string(guesttest.Allow(t, 'a')), "guest.yaml": "admission: {phases: [mutate]}"})
			h.sync()
			if back := h.only(); back.State != plugins.Serving || back.Revision != good.Revision || back.Since != good.Since {
				t.Errorf("the status is %+v once the file is as it was, want %+v", back, good)
			}
		})
	}
}

func TestABrokenFileDeniesWhatItMayConcern(t *testing.T) {
	const removal = "repair guest.wasm in the server's plugin folder, or remove it to go on without"
	elsewhere := "admission: {rules: [{operations: ['*'], apiGroups: [apps], apiVersions: ['*'], resources: ['*']}]}"
	for _, test := range []struct {
		name    string
		content files
		want    string
	}{
		{"without a manifest every write", files{"guest.wasm": "oops"}, "is no WebAssembly module"},
		{"with an unreadable manifest everything", files{"guest.wasm": string(guesttest.Allow(t, 'a')), "guest.yaml": "a: [b"}, "guest.yaml: is no YAML"},
		{"with rules what they name", files{"guest.wasm": "oops", "guest.yaml": elsewhere}, ""},
		{"under a name that is none", files{"Guest_1.wasm": string(guesttest.Allow(t, 'a'))}, "rename it"},
		{"beside a manifest that would be overlooked", files{"guest.wasm": string(guesttest.Allow(t, 'a')), "guest.yml": elsewhere}, "rename it to guest.yaml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, test.content)
			got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil))))
			if test.want == "" {
				if got != "allowed" {
					t.Errorf("got %s, want it allowed", got)
				}
				return
			}
			hint := strings.ReplaceAll(removal, "guest", h.only().Name)
			if !strings.Contains(got, test.want) || !strings.Contains(got, hint) || strings.Contains(got, h.dir) {
				t.Errorf("got %s\nwant %q and %q in it, and not the server's path", got, test.want, hint)
			}
			if h.only().State != plugins.Broken {
				t.Errorf("the state is %s", h.only().State)
			}
			for name := range test.content {
				h.write(files{name: ""})
			}
			h.sync()
			if err := h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil))); err != nil {
				t.Errorf("removing the file does not help: %v", err)
			}
		})
	}
}

func TestRolesAreTheModulesAsFarAsTheManifestLetsThem(t *testing.T) {
	for _, test := range []struct {
		name, manifest string
		want           []sandbox.Role
		fault          string
	}{
		{"all that it exports", "", []sandbox.Role{sandbox.Authorize, sandbox.Admit}, ""},
		{"only what it is given", "roles: [admit]", []sandbox.Role{sandbox.Admit}, ""},
		{"none that it does not play", "roles: [authenticate]", nil, "it is given the role authenticate, but it plays [authorize admit]"},
		{"none that there is not", "roles: [advise]", nil, `"advise" is none of authenticate, authorize, admit`},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, files{"guest.wasm": string(guesttest.Read(t, "two-roles")), "guest.yaml": test.manifest + "\n"})
			s := h.only()
			if diff := cmp.Diff(test.want, s.Roles); diff != "" {
				t.Errorf("roles (-want +got):\n%s", diff)
			}
			if test.fault != "" && (s.Fault == nil || !strings.Contains(s.Fault.Error(), test.fault)) {
				t.Errorf("the fault is %v, want %q", s.Fault, test.fault)
			}
		})
	}
}

func TestRequestsWaitForTheFirstLoad(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "guest.wasm"), guesttest.Allow(t, 'a'), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := plugins.Open(t.Context(), plugins.Options{Dir: dir, Limits: calm(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	w := &plugintest.Warnings{} // the set has not been waited for
	if err := plugintest.Admit(w.Context(t.Context()), set, plugintest.Create(plugintest.Pod(nil))); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"build-a", "build-a"}, w.Texts); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestAClosedSetDenies(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "guest.wasm"), guesttest.Allow(t, 'a'), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := plugins.Open(t.Context(), plugins.Options{Dir: dir, Limits: calm(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	set.Close()
	got := plugintest.Fate(plugintest.Admit(t.Context(), set, plugintest.Create(plugintest.Pod(nil))))
	if !strings.HasPrefix(got, `503 ServiceUnavailable: admission plugin "guest" was removed`) {
		t.Errorf("got %s, want it unavailable", got)
	}
	if err := set.Sync(t.Context()); err == nil {
		t.Error("a closed set reads its folder")
	}
}

func TestOpenSaysWhatIsWrongWithTheFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "nowhere"): "create it, or name another",
		file:                          "is a file: name the folder that holds it",
	} {
		if _, err := plugins.Open(t.Context(), plugins.Options{Dir: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := plugins.Open(ctx, plugins.Options{Dir: dir}); err == nil {
		t.Error("a cancelled opening opens")
	}
}

func TestAFolderThatGoesLeavesItsPluginsServing(t *testing.T) {
	h := open(t, files{"guest.wasm": string(guesttest.Allow(t, 'a'))})
	aside := h.dir + "-aside"
	if err := os.Rename(h.dir, aside); err != nil {
		t.Fatal(err)
	}
	h.sync()
	if diff := cmp.Diff([]string{"build-a", "build-a"}, h.builds()); diff != "" {
		t.Errorf("without the folder (-want +got):\n%s", diff)
	}
	if !strings.Contains(h.log.String(), "cannot read the plugin folder") {
		t.Errorf("the log does not tell:\n%s", h.log)
	}
	if err := os.Rename(aside, h.dir); err != nil {
		t.Fatal(err)
	}
	before := h.only().Revision
	h.write(files{"guest.wasm": string(guesttest.Allow(t, 'b'))})
	h.until("followed again", func(l []plugins.Status) bool { return l[0].Revision != before })
}

func TestCompiledCodeOfRemovedModulesIsThrownAway(t *testing.T) {
	cache := t.TempDir()
	withCache := func(o *plugins.Options) { o.CacheDir = cache }
	stranger := filepath.Join(cache, "not-the-cache's")
	if err := os.Mkdir(stranger, 0o700); err != nil {
		t.Fatal(err)
	}
	open(t, files{"guest.wasm": string(guesttest.Allow(t, 'a'))}, withCache).close()
	second := open(t, files{"guest.wasm": string(guesttest.Allow(t, 'b'))}, withCache)
	second.Prune()
	entries, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("the cache holds %v, want one module's code and what is not ours", entries)
	}
	if _, err := os.Stat(stranger); err != nil {
		t.Error(err)
	}
}

func TestCompiledCodeStaysForThoseWhoTakeAModuleBack(t *testing.T) {
	cache := t.TempDir()
	h := open(t, files{"guest.wasm": string(guesttest.Allow(t, 'a'))}, func(o *plugins.Options) { o.CacheDir = cache })
	first, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil || len(first) != 1 {
		t.Fatalf("the cache holds %v (%v), want one module's code", first, err)
	}
	for i := range 20 {
		h.write(files{"guest.wasm": string(guesttest.Allow(t, 'b'+byte(i)))})
		h.sync()
		if _, err := os.Stat(first[0]); i < 5 && err != nil {
			t.Errorf("after %d changes the first module would have to be compiled again: %v", i+1, err)
		}
	}
	h.close()
	if left, err := filepath.Glob(filepath.Join(cache, "*")); err != nil || len(left) > 10 {
		t.Errorf("the cache holds the code of %d modules (%v)", len(left), err)
	}
}

func TestListTellsHowPluginsAre(t *testing.T) {
	h := open(t, merge(
		files{"b-good.wasm": string(guesttest.Allow(t, 'a')), "b-good.yaml": "description: allows everything"},
		files{"a-broken.wasm": "oops"},
		files{"README.txt": "not a plugin", ".hidden.wasm": "not one either", "lonely.yaml": "description: a manifest without a module"},
	))
	var got []string
	for _, s := range h.List() {
		got = append(got, strings.Join([]string{s.Name, string(s.State), s.Description}, "/"))
	}
	if diff := cmp.Diff([]string{"a-broken/Broken/", "b-good/Serving/allows everything"}, got); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]sandbox.Role{sandbox.Admit}, h.List()[1].Roles); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
	if err := h.Ready(); err != nil {
		t.Errorf("a broken plugin keeps the server from being ready: %v", err)
	}
}

func TestAFailureThatMayPassIsTriedAgain(t *testing.T) {
	h := open(t, nil)
	elsewhere := filepath.Join(t.TempDir(), "built.wasm")
	if err := os.Symlink(elsewhere, filepath.Join(h.dir, "guest.wasm")); err != nil {
		t.Fatal(err)
	}
	h.sync()
	if s := h.only(); s.State != plugins.Broken || !strings.Contains(s.Fault.Error(), "guest.wasm cannot be read: no such file") {
		t.Fatalf("a link to nothing is %+v", s)
	}
	if err := os.WriteFile(elsewhere, guesttest.Allow(t, 'a'), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Retry(time.Now())
	if s := h.only(); s.State != plugins.Broken {
		t.Errorf("it is tried again at once: %+v", s)
	}
	h.Retry(time.Now().Add(time.Minute))
	h.until("loaded", func(l []plugins.Status) bool { return l[0].State == plugins.Serving })
	h.Retry(time.Now().Add(2 * time.Hour)) // there is nothing left to try
	if s := h.only(); s.State != plugins.Serving {
		t.Errorf("it is %+v", s)
	}
}

func TestARequestDoesNotWaitForAFileThatHasGone(t *testing.T) {
	h := open(t, nil)
	p := h.Pending("guest")
	fate := make(chan string)
	go func() { fate <- plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil)))) }()
	p.Remove()
	if got := <-fate; !strings.Contains(got, "its file has been removed") {
		t.Errorf("got %s, want it told that the file has gone", got)
	}
}
