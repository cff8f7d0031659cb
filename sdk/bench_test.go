package sdk_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gatehouse/plugins"
	"gatehouse/plugins/plugintest"
	"gatehouse/plugins/sandbox"
)

// BenchmarkLanguages is what the same small admission plugin, written with each SDK, adds to the creation of a Pod of some 4 KB
// in one phase: the difference to the case "none".
func BenchmarkLanguages(b *testing.B) {
	for _, language := range []struct {
		name, manifest string
		compile        func(testing.TB) []byte
	}{
		{name: "none"},
		{"C", "", func(t testing.TB) []byte { return compiled(t, "owner-c") }},
		{"Rust", "", func(t testing.TB) []byte { return compiled(t, "owner-rust") }},
		{"AssemblyScript", "", func(t testing.TB) []byte { return compiled(t, "owner-assemblyscript") }},
		{"Go", "settings: {do: field}\n", func(t testing.TB) []byte { return compiled(t, "guest") }},
	} {
		b.Run(language.name, func(b *testing.B) {
			dir := b.TempDir()
			if language.compile != nil {
				files := map[string][]byte{
					"owner.wasm": language.compile(b),
					"owner.yaml": []byte(language.manifest + "admission: {phases: [validate]}\n"),
				}
				for name, content := range files {
					if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
						b.Fatal(err)
					}
				}
			}
			set, err := plugins.Open(b.Context(), plugins.Options{
				Dir: dir, LoadWait: time.Minute, Logger: slog.New(slog.DiscardHandler),
				Limits: sandbox.Limits{Deadline: time.Minute, Start: time.Minute},
			})
			if err != nil {
				b.Fatal(err)
			}
			defer set.Close()
			if err := set.Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
			create(b, set)
		})
	}
}

// create has a Pod created again and again, and reports processor time beside the clock's, which other work on the machine
// makes longer.
func create(b *testing.B, set *plugins.Set) {
	pod := describedPod()
	pod.Labels["owner"] = "me"
	began := processorTime(b)
	for b.Loop() {
		if err := plugintest.Admit(b.Context(), set, plugintest.Create(pod)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((processorTime(b)-began).Microseconds())/float64(b.N), "cpu-µs/op")
}

// processorTime is what this process has used, with its garbage collector.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
