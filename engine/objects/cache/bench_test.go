package cache

import (
	"context"
	"fmt"
	"testing"

	"gatehouse/engine/storage"
)

const benchPods = 5000

func BenchmarkObserve(b *testing.B) {
	for _, viewed := range []bool{false, true} {
		b.Run(fmt.Sprintf("with a view after each event %t", viewed), func(b *testing.B) {
			h := filled(b, benchPods)
			events := make([]storage.Event, benchPods)
			for i := range events {
				events[i] = eventOf(b, typicalPod(i), 0, nil)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				e := events[i*7%benchPods]
				e.Item.ModRevision = int64(i + 2*benchPods)
				h.Observe([]storage.Event{e})
				if viewed {
					h.view(b)
				}
			}
		})
	}
}

func BenchmarkView(b *testing.B) {
	h := filled(b, benchPods)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := h.pods.View(context.Background()); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkGetWithForm(b *testing.B) {
	h := filled(b, benchPods)
	view := h.warm(b)
	keys := make([]string, 0, benchPods)
	for e := range view.Scan("", "") {
		keys = append(keys, e.Key())
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, err := view.Get(keys[i*7%benchPods]).Form(h.version, JSON); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScan reports its figures for each entry.
func BenchmarkScan(b *testing.B) {
	h := filled(b, benchPods)
	view := h.warm(b)
	var bytes int
	each := func(b *testing.B, do func(*Entry)) {
		b.ReportAllocs()
		for range b.N {
			for e := range view.Scan(podsPrefix, storage.PrefixEnd(podsPrefix)) {
				do(e)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchPods, "ns/entry")
	}
	b.Run("alone", func(b *testing.B) { each(b, func(*Entry) {}) })
	b.Run("with form", func(b *testing.B) {
		each(b, func(e *Entry) {
			form, err := e.Form(h.version, JSON)
			if err != nil {
				b.Fatal(err)
			}
			bytes += form.Len()
		})
	})
	b.Run("with field lookup", func(b *testing.B) {
		each(b, func(e *Entry) {
			attributes, err := e.Attributes()
			if err != nil {
				b.Fatal(err)
			}
			bytes += len(attributes.Fields.Get("spec.nodeName"))
		})
	})
}

// BenchmarkScanField finds the 50 of 5,000 pods that run on one node.
func BenchmarkScanField(b *testing.B) {
	h := filled(b, benchPods)
	view := h.warm(b)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		n := 0
		for range view.ScanField(podsPrefix, storage.PrefixEnd(podsPrefix), nodeName, "node-007") {
			n++
		}
		if n != 50 {
			b.Fatalf("found %d", n)
		}
	}
}

func BenchmarkFanOut(b *testing.B) {
	const watchers = 500
	h := filled(b, benchPods)
	for range watchers {
		w, _ := h.watch(b, WatchRequest{})
		go func() {
			for {
				if _, _, err := w.Next(context.Background()); err != nil {
					return
				}
			}
		}()
	}
	last, _ := h.watch(b, WatchRequest{})
	e := eventOf(b, typicalPod(1), 0, nil)
	b.ResetTimer()
	for i := range b.N {
		e.Item.ModRevision = int64(i + 2*benchPods)
		h.Observe([]storage.Event{e})
		await(b, last, 1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/watchers, "ns/event/watcher")
}
