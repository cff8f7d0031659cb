package plugins_test

import (
	"strings"
	"testing"

	"gatehouse/plugins"
	"gatehouse/plugins/internal/guesttest"
)

func TestCapabilitiesThatMakeNoSenseAreRefusedWithThePlugin(t *testing.T) {
	for _, test := range []struct{ name, capabilities, fault string }{
		{"a capability that there is not", "{files: {}}", `guest.yaml: unknown field "capabilities.files"`},
		{"a grant of nothing", "{k8s: {}}", "guest.yaml: capabilities.k8s.objects: is empty"},
		{"a grant of everything", "{k8s: {objects: [{apiVersion: v1, kind: '*'}]}}", "guest.yaml: capabilities.k8s.objects[0]: needs"},
		{"a good grant", "{k8s: {objects: [{apiVersion: v1, kind: Namespace}]}, http: {urls: ['https://example.com/']}}", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, files{"guest.wasm": string(guesttest.Allow(t, 'a')), "guest.yaml": "capabilities: " + test.capabilities + "\n"})
			s := h.only()
			if good := test.fault == ""; good != (s.State == plugins.Serving) || !good && !strings.Contains(s.Fault.Error(), test.fault) {
				t.Errorf("it is %s: %v, want %q", s.State, s.Fault, test.fault)
			}
		})
	}
}
