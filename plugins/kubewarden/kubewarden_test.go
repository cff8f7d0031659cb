package kubewarden_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"gatehouse/plugins/capability"
	"gatehouse/plugins/internal/binary"
	"gatehouse/plugins/kubewarden"
	"gatehouse/plugins/sandbox"
	"gatehouse/tests/harness"
)

const (
	wapcPolicy = "plugins/kubewarden/testdata/wapc"
	wasiPolicy = "examples/kubewarden-host-network"
	rustPolicy = "examples/kubewarden-namespace-owner"
)

// policy is the compiled policy of a directory.
func policy(t testing.TB, dir string) []byte {
	t.Helper()
	file, err := harness.Plugin(t.Context(), dir)
	harness.SkipMissing(t, err)
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// options are for tests that load a policy several times: only the first compiles it.
type options struct {
	cache, settings string
	operations      map[string]sandbox.Operation
	logs            *bytes.Buffer
}

func load(wasm []byte, o options) (*sandbox.Module, error) {
	outline, err := binary.Read(wasm)
	if err != nil {
		return nil, err
	}
	if !kubewarden.Detect(outline) {
		return nil, errors.New("not taken for a policy of Kubewarden")
	}
	protocol, err := kubewarden.New(outline, kubewarden.Options{Operations: o.operations})
	if err != nil {
		return nil, err
	}
	logger := slog.New(slog.DiscardHandler)
	if o.logs != nil {
		logger = slog.New(slog.NewTextHandler(o.logs, nil))
	}
	return sandbox.Load(context.Background(), wasm, sandbox.Options{
		Protocol: protocol, Settings: []byte(o.settings), CacheDir: o.cache, Logger: logger,
		Limits: sandbox.Limits{Deadline: time.Minute, Start: time.Minute, Instances: 2},
	})
}

func open(t testing.TB, wasm []byte, o options) *sandbox.Module {
	t.Helper()
	m, err := load(wasm, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// ask sends a review whose request has these members and returns the answer.
func ask(ctx context.Context, m *sandbox.Module, request string) (*admissionv1.AdmissionResponse, error) {
	payload := fmt.Sprintf(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1",%s}}`, request)
	var answer admissionv1.AdmissionReview
	err := m.Call(ctx, sandbox.Admit, sandbox.Request{Payload: []byte(payload)}, func(data []byte) error {
		return json.Unmarshal(data, &answer)
	})
	return answer.Response, err
}

// verdict is an answer in a line.
func verdict(response *admissionv1.AdmissionResponse, err error) string {
	switch {
	case err != nil:
		return "failed: " + err.Error()
	case response.UID != "u1":
		return "answers another request: " + string(response.UID)
	case !response.Allowed:
		return fmt.Sprintf("denied with %d: %s", response.Result.Code, response.Result.Message)
	}
	line := "allowed"
	if len(response.Patch) > 0 && response.PatchType != nil {
		line += " with " + string(response.Patch)
	}
	if len(response.Warnings) > 0 {
		line += " warning of " + strings.Join(response.Warnings, ", ")
	}
	if len(response.AuditAnnotations) > 0 {
		line += fmt.Sprintf(" noting %v", response.AuditAnnotations)
	}
	return line
}

// cluster is a host that lets objects be read, of which there are two, and nobody ask who may do what.
func cluster() map[string]sandbox.Operation {
	return map[string]sandbox.Operation{
		"k8s.get": func(_ context.Context, payload []byte) ([]byte, error) {
			switch string(payload) {
			case `{"apiVersion":"v1","kind":"Namespace","name":"shop"}`:
				return []byte(`{"found":true,"object":{"metadata":{"name":"shop","labels":{"open":"yes"}}}}`), nil
			case `{"apiVersion":"v1","kind":"Namespace","name":"store"}`:
				return []byte(`{"found":true,"object":{"metadata":{"name":"store"}}}`), nil
			}
			return []byte(`{"found":false}`), nil
		},
		"k8s.list": func(_ context.Context, payload []byte) ([]byte, error) { return payload, nil },
	}
}

func TestPoliciesOfWaPC(t *testing.T) {
	wasm, cache, logs := policy(t, wapcPolicy), t.TempDir(), &bytes.Buffer{}
	m := open(t, wasm, options{cache: cache, settings: `{"value":7}`, operations: cluster(), logs: logs})
	const patch = `[{"op":"remove","path":"/status"},{"op":"add","path":"/spec/a~1b","value":7},` +
		`{"op":"replace","path":"/spec/list","value":[1,2]}]`
	for _, test := range []struct{ name, do, want string }{
		{"accepted is allowed", "accept", "allowed"},
		{"rejected is denied, with message and code", "reject", "denied with 418: not this one"},
		{"warnings and annotations come through", "warn", "allowed warning of hm noting map[seen:yes]"},
		{"a changed object becomes a patch", "mutate", "allowed with " + patch},
		{"an object can be read", "host:kubernetes/get_resource",
			`allowed warning of {"metadata":{"name":"shop","labels":{"open":"yes"}}}`},
		{"objects can be listed", "host:kubernetes/list_resources_all", `allowed warning of {"apiVersion":"v1","kind":"Namespace"}`},
		{"what is not granted is an error", "host:kubernetes/can_i",
			"denied with 0: the host call kubernetes/can_i is not granted to this plugin: it needs the capability authz.can_i"},
		{"what there is not is an error", "host:oci/v2/verify", "denied with 0: this server does not have the host call oci/v2/verify"},
		{"names are not looked up", "host:net/v1/dns_lookup_host", "denied with 0: this server does not have the host call net/v1/dns_lookup_host: "},
		{"an error is a fault", "fail", "failed: validate: cannot tell"},
		{"an answer of another type is a fault", "nonsense", "failed: its answer to validate is no ValidationResponse: "},
		{"an answer without a verdict is a fault", "silence", "failed: its answer to validate does not say whether"},
		{"a long answer is a fault", "long", "failed: validate: the answer has 2097152 bytes, its output limit is 1048576"},
		{"a panic is a fault", "panic", "failed: validate: the guest trapped: unreachable: panic: no more"},
		{"after faults all is well", "log", "allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := fmt.Sprintf(`"name":%q,"object":{"metadata":{"name":"x"},"spec":{"list":[1]},"status":{}}`, test.do)
			if got := verdict(ask(t.Context(), m, request)); !strings.HasPrefix(got, test.want) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	t.Run("what a policy says is logged", func(t *testing.T) {
		for _, line := range []string{`level=INFO msg="to the console"`, `level=WARN msg="{\"level\":\"WARN\",\"message\":\"to the log\"}"`} {
			if !strings.Contains(logs.String(), line) {
				t.Errorf("the log lacks %s:\n%s", line, logs)
			}
		}
	})
	t.Run("a policy that never ends is stopped", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := ask(ctx, m, `"name":"loop","object":{}`); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the request's time", err)
		}
		if left := m.Trim(time.Now().Add(-time.Hour)); left != 0 {
			t.Errorf("%d instances are kept, want none", left)
		}
	})
	t.Run("settings are looked at when a policy is loaded", func(t *testing.T) {
		_, err := load(wasm, options{cache: cache, settings: `{"bad":1}`})
		var fault *sandbox.Fault
		if !errors.As(err, &fault) || fault.Kind != sandbox.Refused || fault.Cause != "refuses its settings: bad is not good" {
			t.Errorf("got %v, want a fault with the policy's words", err)
		}
	})
}

func TestPoliciesOfWASI(t *testing.T) {
	wasm, cache := policy(t, wasiPolicy), t.TempDir()
	m := open(t, wasm, options{cache: cache, settings: `{"namespaces":["kube-system"],"label":"open"}`, operations: cluster()})
	const pod = `"kind":{"kind":"Pod","version":"v1"},"operation":"CREATE","namespace":%q,"object":{"spec":{"hostNetwork":%t}}`
	for _, test := range []struct {
		name, in string
		host     bool
		want     string
	}{
		{"a Pod with a network of its own is allowed", "default", false, "allowed"},
		{"a namespace of the settings is allowed", "kube-system", true, "allowed"},
		{"a Namespace that the host reads is allowed", "shop", true, "allowed"},
		{"any other is denied", "store", true, `denied with 403: the node's network is not for the namespace "store"`},
		{"what the host does not find is a fault", "default", true,
			`failed: validate: the guest exited with code 1: Namespace "default" not found`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := verdict(ask(t.Context(), m, fmt.Sprintf(pod, test.in, test.host))); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	_, err := load(wasm, options{cache: cache, settings: `{"namespaces":[""]}`})
	if err == nil || !strings.Contains(err.Error(), "refuses its settings: a namespace has a name") {
		t.Errorf("bad settings: got %v", err)
	}
}

func TestPoliciesByTheSDKForRust(t *testing.T) {
	wasm, cache := policy(t, rustPolicy), t.TempDir()
	m := open(t, wasm, options{cache: cache, settings: `{"label":"open"}`, operations: cluster()})
	const pod = `"kind":{"group":"","kind":"Pod","version":"v1"},"resource":{"group":"","version":"v1","resource":"pods"},` +
		`"operation":"CREATE","userInfo":{"username":"jane"},"namespace":%q,"object":{"kind":"Pod","metadata":{%s}}`
	for _, test := range []struct{ name, in, metadata, want string }{
		{"a Pod gets what the host reads in its Namespace", "shop", ``,
			`allowed with [{"op":"add","path":"/metadata/labels","value":{"open":"yes"}}]`},
		{"a Pod that has it stays as it is", "shop", `"labels":{"open":"yes","a":"b"}`, "allowed"},
		{"a Pod that claims something else is set right", "shop", `"labels":{"open":"no"}`,
			`allowed with [{"op":"replace","path":"/metadata/labels/open","value":"yes"}]`},
		{"a Namespace without it lets nobody in", "store", ``, "denied with 403: the namespace store has no label open"},
		{"what the host does not find is a fault", "default", ``, `failed: validate: Host error: Namespace "default" not found`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := verdict(ask(t.Context(), m, fmt.Sprintf(pod, test.in, test.metadata))); !strings.HasPrefix(got, test.want) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	for settings, want := range map[string]string{`{"label":""}`: "refuses its settings: label: is empty", `{"labels":"x"}`: "unknown field `labels`"} {
		if _, err := load(wasm, options{cache: cache, settings: settings}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the settings %s: got %v, want %q", settings, err, want)
		}
	}
}

// roles answer what eve may.
type roles struct{}

func (roles) Review(_ context.Context, spec authorizationv1.SubjectAccessReviewSpec) (authorizationv1.SubjectAccessReviewStatus, error) {
	allowed := spec.User == "eve" && slices.Equal(spec.Groups, []string{"devs"}) &&
		*spec.ResourceAttributes == authorizationv1.ResourceAttributes{Namespace: "shop", Verb: "get", Resource: "pods"}
	return authorizationv1.SubjectAccessReviewStatus{Allowed: allowed}, nil
}

func TestHostCallsAskByTheOperatorsGrants(t *testing.T) {
	root, stranger := issuer(t, "root"), issuer(t, "root")
	leaf := root.issue(t)
	const spec = `{"user":"eve","groups":["devs"],"resourceAttributes":{"namespace":"shop","verb":"get","group":"","resource":"pods"}}`
	const review = `{"user":"eve","groups":["devs"],"resource_attributes":{"namespace":"shop","verb":%q,"group":null,"resource":"pods","name":null}}`
	const trust, canI = "crypto/v1/is_certificate_trusted", "kubernetes/can_i"
	granted, err := capability.Host{Access: roles{}}.Operations("policy", capability.Grants{
		Authorization: &capability.AuthorizationGrant{CanI: true}, Crypto: &capability.CryptoGrant{VerifyCert: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := open(t, policy(t, wapcPolicy), options{operations: granted})
	for _, test := range []struct{ name, call, payload, want string }{
		{"may they, as the SDK for Go asks", canI, `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":` + spec + `}`,
			`allowed warning of {"allowed":true}`},
		{"may they, as the SDK for Rust asks", canI, fmt.Sprintf(`{"subject_access_review":`+review+`,"disable_cache":false}`, "get"),
			`allowed warning of {"allowed":true}`},
		{"they may not", canI, fmt.Sprintf(`{"subject_access_review":`+review+`,"disable_cache":false}`, "delete"),
			`allowed warning of {"allowed":false}`},
		{"a certificate of the chain is trusted", trust, `{"cert":` + der(leaf) + `,"cert_chain":[` + der(root.certificate) + `],"not_after":null}`,
			`allowed warning of {"trusted":true,"reason":""}`},
		{"one of another chain is not", trust, `{"cert":` + der(leaf) + `,"cert_chain":[` + der(stranger.certificate) + `],"not_after":""}`,
			`allowed warning of {"trusted":false,"reason":"x509: certificate signed by unknown authority`},
		{"one that has ended is not", trust, `{"cert":` + der(leaf) + `,"cert_chain":[` + der(root.certificate) + `],"not_after":"2999-01-01T00:00:00Z"}`,
			`allowed warning of {"trusted":false,"reason":"x509: certificate has expired`},
		{"without a chain there is nobody to trust", trust, `{"cert":` + der(leaf) + `,"cert_chain":null,"not_after":null}`,
			"denied with 0: crypto/v1/is_certificate_trusted: cert_chain is empty"},
		{"what is no certificate is an error", trust, `{"cert":{"encoding":"Pem","data":[1]},"cert_chain":[` + der(leaf) + `]}`,
			"denied with 0: crypto/v1/is_certificate_trusted: a certificate is no PEM"},
		{"what is not granted says how to", "kubernetes/get_resource", `{"api_version":"v1","kind":"Namespace","name":"shop"}`,
			"denied with 0: is not granted to this plugin: add to policy.yaml the line"},
	} {
		t.Run(test.name, func(t *testing.T) {
			payload, err := json.Marshal(test.payload)
			if err != nil {
				t.Fatal(err)
			}
			got := verdict(ask(t.Context(), m, fmt.Sprintf(`"name":"host:%s","object":{"payload":%s}`, test.call, payload)))
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func issuer(t *testing.T, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}, key}
	a.certificate = a.sign(t, a.certificate, key)
	return a
}

func (a authority) issue(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}, key)
}

func (a authority) sign(t *testing.T, template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// der is a certificate as host calls have it.
func der(certificate *x509.Certificate) string {
	return fmt.Sprintf(`{"encoding":"Der","data":[%s]}`, strings.Trim(strings.Join(strings.Fields(fmt.Sprint(certificate.Raw)), ","), "[]"))
}

func TestMetadataAreRead(t *testing.T) {
	outline, err := binary.Read(policy(t, wasiPolicy))
	if err != nil {
		t.Fatal(err)
	}
	got, err := kubewarden.ReadMetadata(outline)
	if err != nil {
		t.Fatal(err)
	}
	mutating := false
	want := &kubewarden.Metadata{
		Mutating:              &mutating,
		Rules:                 []kubewarden.Rule{{[]string{""}, []string{"v1"}, []string{"pods"}, []string{"CREATE"}}},
		ExecutionMode:         kubewarden.WASI,
		ContextAwareResources: []kubewarden.Resource{{"v1", "Namespace"}},
		Annotations: map[string]string{
			"io.kubewarden.policy.title":       "host-network",
			"io.kubewarden.policy.description": "Pods keep off their node's network.",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func BenchmarkWaPC(b *testing.B) {
	m := open(b, policy(b, wapcPolicy), options{})
	for b.Loop() {
		if _, err := ask(b.Context(), m, `"name":"accept","object":{"metadata":{"name":"x"}}`); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWASI(b *testing.B) {
	m := open(b, policy(b, wasiPolicy), options{})
	for b.Loop() {
		if _, err := ask(b.Context(), m, `"kind":{"kind":"Pod"},"object":{"spec":{}}`); err != nil {
			b.Fatal(err)
		}
	}
}
