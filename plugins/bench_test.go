package plugins_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"gatehouse/plugins"
	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/plugintest"
)

// BenchmarkAdmit is what plugins add to a write that they do not concern, and what the smallest guest adds to one it does.
func BenchmarkAdmit(b *testing.B) {
	const elsewhere = "admission: {rules: [{operations: [CREATE, UPDATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}]}"
	for _, bench := range []struct {
		name, manifest string
		plugins        int
	}{
		{"no plugin", "", 0},
		{"100 plugins for other resources", elsewhere, 100},
		{"100 plugins for other namespaces", "admission: {namespaceSelector: {matchLabels: {team: blue}}}", 100},
		{"100 plugins for other objects", "admission: {objectSelector: {matchLabels: {team: blue}}}", 100},
		{"one plugin in one phase", "admission: {phases: [validate]}", 1},
	} {
		b.Run(bench.name, func(b *testing.B) {
			dir := b.TempDir()
			for i := range bench.plugins {
				name := filepath.Join(dir, fmt.Sprintf("guest-%d", i))
				if err := os.WriteFile(name+".wasm", guesttest.Allow(b, 'a'), 0o600); err != nil {
					b.Fatal(err)
				}
				if err := os.WriteFile(name+".yaml", []byte(bench.manifest), 0o600); err != nil {
					b.Fatal(err)
				}
			}
			known := plugins.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), Limits: calm()}
			world(nil)(&known)
			set, err := plugins.Open(b.Context(), known)
			if err != nil {
				b.Fatal(err)
			}
			defer set.Close()
			if err := set.Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
			write := plugintest.Create(plugintest.Pod(nil))
			for b.Loop() {
				if err := plugintest.Admit(b.Context(), set, write); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// openFor opens a set over those files for as long as the benchmark runs.
func openFor(b *testing.B, content files) *plugins.Set {
	b.Helper()
	dir := b.TempDir()
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	set, err := plugins.Open(b.Context(), plugins.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), Limits: calm()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(set.Close)
	if err := set.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	return set
}
