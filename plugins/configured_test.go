package plugins_test

import (
	"strings"
	"testing"

	"gatehouse/plugins"
	"gatehouse/plugins/plugintest"
)

// configuredAs has the server's configuration say how the plugin judge is run.
func configuredAs(config string) func(*plugins.Options) {
	return func(o *plugins.Options) {
		o.Configurations = map[string]plugins.Configured{"judge": {YAML: []byte(config), Origin: "gatehouse.yaml:12"}}
	}
}

func TestTheServersConfigurationMaySayHowAPluginIsRun(t *testing.T) {
	content := denying(t, "")
	config := content["judge.yaml"] + "admission: {objectSelector: {matchLabels: {judge: me}}}"
	delete(content, "judge.yaml")
	h := open(t, content, configuredAs(config))
	if got := h.only(); got.State != plugins.Serving {
		t.Fatalf("it is %s: %v", got.State, got.Fault)
	}
	for want, labels := range map[string]map[string]string{"asked": {"judge": "me"}, "allowed": nil} {
		if got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(labels)))); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAPluginThatIsConfiguredTwiceIsRefused(t *testing.T) {
	h := open(t, denying(t, ""), configuredAs("roles: [admit]\nadmission: {objectSelector: {matchLabels: {judge: me}}}"))
	got := h.only()
	if want := "it is configured twice, by judge.yaml in the plugin folder and at gatehouse.yaml:12: keep one of them"; got.State != plugins.Broken || got.Fault.Error() != want {
		t.Fatalf("it is %s: %v, want %s", got.State, got.Fault, want)
	}
	// What it denies goes by the server's configuration, which is its operator's.
	for want, labels := range map[string]map[string]string{"configured twice": {"judge": "me"}, "allowed": nil} {
		if got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(labels)))); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	h.write(files{"judge.yaml": ""})
	h.sync()
	if got := h.only(); got.State != plugins.Serving {
		t.Errorf("configured once it is %s: %v", got.State, got.Fault)
	}
}

func TestAConfiguredPluginThatIsNotThereIsMissed(t *testing.T) {
	create := func(h *host) string {
		return plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil))))
	}
	h := open(t, files{}, configuredAs("roles: [admit]"))
	got := h.only()
	if want := "judge.wasm is not in the plugin folder, but configured at gatehouse.yaml:12: put it there, or remove its configuration"; got.State != plugins.Broken || got.Fault.Error() != want {
		t.Fatalf("it is %s: %v, want %s", got.State, got.Fault, want)
	}
	if got := create(h); !strings.Contains(got, "judge.wasm is not in the plugin folder") || !strings.HasSuffix(got, "or remove it and its configuration to go on without") {
		t.Errorf("a write is %s", got)
	}
	h.write(files{"judge.wasm": denying(t, "")["judge.wasm"]})
	h.sync()
	if got := h.only(); got.State != plugins.Serving {
		t.Errorf("once it is there it is %s: %v", got.State, got.Fault)
	}
	h.write(files{"judge.wasm": ""})
	h.sync()
	if got := h.only(); got.State != plugins.Stale {
		t.Errorf("once it has gone it is %s: %v, want the last revision to serve on", got.State, got.Fault)
	}

	h = open(t, files{}, configuredAs("{roles: [admit], failurePolicy: Ignore}"))
	if got := create(h); got != "allowed" {
		t.Errorf("a write is %s although its absence is to be ignored", got)
	}
}

func TestAMistakeInTheServersConfigurationOfAPluginNamesItsPlace(t *testing.T) {
	content := denying(t, "")
	delete(content, "judge.yaml")
	h := open(t, content, configuredAs("failurePolicy: Maybe"))
	if got := h.only().Fault; got == nil || !strings.HasPrefix(got.Error(), `gatehouse.yaml:12: plugins.configurations.judge: failurePolicy: "Maybe"`) {
		t.Errorf("the fault is %v", got)
	}
}
