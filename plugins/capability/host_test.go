package capability_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"gatehouse/plugins/capability"
)

func everything() []string {
	return []string{"k8s.get", "k8s.list", "authz.can_i", "crypto.verify_jwt", "crypto.verify_cert", "http.fetch", "cache.get", "cache.set"}
}

func TestWithoutGrantsEveryOperationSaysHowToGrantIt(t *testing.T) {
	host := capability.Host{Objects: &world{}, Access: &judge{}}
	o := granted(t, host, "{}")
	if len(o.table) != len(everything()) {
		t.Errorf("there are %d operations, want %d", len(o.table), len(everything()))
	}
	for _, name := range everything() {
		got := o.ask(name, "{}")
		line, found := strings.CutPrefix(got, "error: is not granted to this plugin: add to guest.yaml the line `capabilities: ")
		if !found {
			t.Errorf("%s answers %s", name, got)
			continue
		}
		// What it says to add is a configuration, and with that the operation no longer refuses.
		with := granted(t, host, strings.TrimSuffix(line, "`"))
		if got := with.ask(name, "{}"); strings.Contains(got, "add to guest.yaml") {
			t.Errorf("%s answers %s after what it said has been added", name, got)
		}
	}
}

func TestAGrantIsForItsOwnOperationsAlone(t *testing.T) {
	o := granted(t, capability.Host{}, "{cache: {}, crypto: {verifyCert: true}, authz: {}}")
	for _, name := range everything() {
		refused := strings.Contains(o.ask(name, "{}"), "is not granted to this plugin")
		want := !strings.HasPrefix(name, "cache.") && name != "crypto.verify_cert"
		if refused != want {
			t.Errorf("%s is refused: %v, want %v", name, refused, want)
		}
	}
}

func TestWrongGrantsAreNamedByTheirKey(t *testing.T) {
	for _, test := range []struct{ name, grants, want string }{
		{"no objects", "{k8s: {}}", "k8s.objects: is empty, …"},
		{"a kind for all", "{k8s: {objects: [{apiVersion: v1, kind: '*'}]}}", "k8s.objects[0]: needs an apiVersion, …"},
		{"a group without version", "{k8s: {objects: [{apiVersion: apps/, kind: Deployment}]}}", "k8s.objects[0]: needs an apiVersion, …"},
		{"no namespaces", "{k8s: {objects: [{apiVersion: v1, kind: Pod, namespaces: []}]}}", "k8s.objects[0]: an empty list of namespaces …"},
		{"too many objects", "{k8s: {objects: [{apiVersion: v1, kind: Pod}], maxObjects: 10001}}", "k8s.maxObjects: 10001 is not between 0 and 10000"},
		{"too many bytes", "{k8s: {objects: [{apiVersion: v1, kind: Pod}], maxBytes: 1Gi}}", "k8s.maxBytes: 1073741824 is not between 0 and 67108864"},
		{"a symmetric algorithm", "{crypto: {verifyJWT: {algorithms: [HS256]}}}", `crypto.verifyJWT.algorithms[0]: "HS256" is none of …`},
		{"no signature at all", "{crypto: {verifyJWT: {algorithms: [none]}}}", `crypto.verifyJWT.algorithms[0]: "none" is none of …`},
		{"no algorithm", "{crypto: {verifyJWT: {algorithms: []}}}", "crypto.verifyJWT.algorithms: is empty, …"},
		{"an issuer without keys", "{crypto: {verifyJWT: {issuers: [{issuer: a, jwks: {keys: []}}]}}}", "crypto.verifyJWT.issuers[0].jwks: has no public key …"},
		{"a long leeway", "{crypto: {verifyJWT: {leeway: 1h}}}", "crypto.verifyJWT.leeway: 1h0m0s is not between 0 and 5m0s"},
		{"no URL", "{http: {}}", "http.urls: is empty, …"},
		{"a URL of another scheme", "{http: {urls: ['file:///etc/passwd']}}", `http.urls[0]: "file:///etc/passwd" must begin with https:// …`},
		{"a host with a wildcard", "{http: {urls: ['https://*.example.com/']}}", `http.urls[0]: "https://*.example.com/" has no host, …`},
		{"a URL with a query", "{http: {urls: ['https://example.com/?a=b']}}", `http.urls[0]: "https://example.com/?a=b" has a query, …`},
		{"an unknown method", "{http: {urls: ['https://example.com/'], methods: [CONNECT]}}", `http.methods[0]: "CONNECT" is none of …`},
		{"a network that is an address", "{http: {urls: ['https://example.com/'], networks: [10.0.0.1/8]}}", `http.networks[0]: "10.0.0.1/8" is no network: …`},
		{"authorities that are none", "{http: {urls: ['https://example.com/'], authorities: none}}", "http.authorities: has no certificate in PEM"},
		{"a timeout that is too long", "{http: {urls: ['https://example.com/'], timeout: 1h}}", "http.timeout: 1h0m0s is not between 0 and 1m0s"},
		{"a negative cache", "{cache: {maxBytes: -1}}", "cache.maxBytes: -1 is not between 0 and 67108864"},
		{"a cache for ever", "{cache: {maxTTL: 25h}}", "cache.maxTTL: 25h0m0s is not between 0 and 24h0m0s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := grants(t, test.grants).Check()
			if err == nil {
				t.Fatal("it is accepted")
			}
			expect(t, test.grants, err.Error(), test.want)
		})
	}
}

func TestPayloadsAreReadStrictly(t *testing.T) {
	o := granted(t, capability.Host{Objects: &world{}, Access: &judge{}},
		"{k8s: {objects: [{apiVersion: v1, kind: Pod}]}, authz: {canI: true}, crypto: {verifyJWT: {}, verifyCert: true}, "+
			"http: {urls: ['https://example.com/']}, cache: {}}")
	for _, name := range everything() {
		expect(t, name+" of no JSON", o.ask(name, "oops"), "error: the payload is not what it should be: …")
		expect(t, name+" with an unknown member", o.ask(name, `{"nonsense":1}`), `…unknown field "nonsense"`)
		expect(t, name+" of too much", o.ask(name, strings.Repeat(" ", capability.MaxPayload+1)), "error: the payload has 1048577 bytes, …")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("time is up"))
		expect(t, name+" too late", o.askIn(ctx, name, "{}"), "error: time is up")
	}
}
