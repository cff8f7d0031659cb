package plugins_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/plugins/plugintest"
)

// calls are how many calls there were by plugin, result and role, and how many have been timed by plugin and role.
func (h *host) calls() map[string]float64 {
	h.t.Helper()
	return h.counted("gatehouse_plugin_calls_total", "gatehouse_plugin_duration_seconds")
}

// counted are the values of some metrics by their labels.
func (h *host) counted(names ...string) map[string]float64 {
	h.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(h.Metrics()); err != nil {
		h.t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		if !slices.Contains(names, family.GetName()) {
			continue
		}
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetValue())
			}
			if histogram := metric.GetHistogram(); histogram != nil {
				got[strings.Join(labels, " ")+" timed"] = float64(histogram.GetSampleCount())
			} else {
				got[strings.Join(labels, " ")] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			}
		}
	}
	return got
}

func TestFilesOfAnyNameAreCounted(t *testing.T) {
	h := open(t, files{"\xfe.wasm": "oops", "\xff.wasm": "oops"})
	want := map[string]float64{`"\xfe" refused`: 1, `"\xff" refused`: 1}
	if diff := cmp.Diff(want, h.counted("gatehouse_plugin_loads_total")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCallsAreCounted(t *testing.T) {
	h := open(t, merge(
		says(t, "ca", access(`{"denied":true}`), "roles: [authorize]"),
		says(t, "id", token(`{}`), "roles: [authenticate]"),
		says(t, "ig", token(`{"authenticated":true}`), "roles: [authenticate]\nfailurePolicy: Ignore"),
		script(t, "do", `{"uid":"$uid","allowed":true}`, "admission: {phases: [validate]}"),
	))
	h.decide(t.Context(), getPod())
	h.decide(t.Context(), getPod())
	h.identify(withToken())
	if err := h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil))); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		"ca denied authorize": 2, "ca authorize timed": 2,
		"id no_opinion authenticate": 1, "id authenticate timed": 1,
		"ig ignored authenticate": 1, "ig authenticate timed": 1,
		"do allowed admit": 1, "do admit timed": 1,
	}
	got := h.calls()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	h.write(files{"ca.wasm": ""})
	h.sync()
	for key := range h.calls() {
		if strings.HasPrefix(key, "ca ") {
			t.Errorf("%s is still told after the plugin's removal", key)
		}
	}
}
