package rego_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"

	"gatehouse/plugins/internal/binary"
	"gatehouse/plugins/rego"
	"gatehouse/plugins/sandbox"
	"gatehouse/tests/harness"
)

// policy is the compiled policy of a directory.
func policy(t testing.TB, dir string) []byte {
	t.Helper()
	file, err := harness.Plugin(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// load runs a policy with settings, under limits that only a runaway notices.
func load(wasm []byte, settings string, options rego.Options, limits sandbox.Limits) (*sandbox.Module, error) {
	outline, err := binary.Read(wasm)
	if err != nil {
		return nil, err
	}
	if !rego.Detect(outline) {
		return nil, errors.New("not taken for a Rego policy")
	}
	return sandbox.Load(context.Background(), wasm, sandbox.Options{
		Protocol: rego.New(outline, options),
		Settings: []byte(settings),
		Limits:   limits.Or(sandbox.Limits{Memory: 16 << 20, Deadline: time.Minute, Start: time.Minute, Instances: 2}),
		Logger:   slog.New(slog.DiscardHandler),
	})
}

func open(t testing.TB, dir, settings string, options rego.Options) *sandbox.Module {
	t.Helper()
	m, err := load(policy(t, dir), settings, options, sandbox.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// ask sends a review whose request has these members and returns the answer.
func ask(m *sandbox.Module, request string) (*admissionv1.AdmissionResponse, error) {
	payload := fmt.Sprintf(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1",%s}}`, request)
	var answer admissionv1.AdmissionReview
	err := m.Call(context.Background(), sandbox.Admit, sandbox.Request{Payload: []byte(payload)}, func(data []byte) error {
		return json.Unmarshal(data, &answer)
	})
	return answer.Response, err
}

// verdict is an answer in a line: "allowed", "allowed with PATCH" or "denied: MESSAGE".
func verdict(response *admissionv1.AdmissionResponse, err error) string {
	switch {
	case err != nil:
		return "failed: " + err.Error()
	case response.UID != "u1":
		return "answers another request: " + string(response.UID)
	case !response.Allowed && response.Result != nil:
		return "denied: " + response.Result.Message
	case !response.Allowed:
		return "denied"
	case len(response.Patch) > 0 && response.PatchType != nil:
		return "allowed with " + string(response.Patch)
	}
	return "allowed"
}

func TestPoliciesOfEitherConvention(t *testing.T) {
	const namespace = `"kind":{"kind":"Namespace"},"operation":"CREATE","object":{"metadata":{"name":"shop","labels":%s}}`
	const pod = `"operation":%q,"object":{"spec":{"containers":[{"image":"registry.local/web"},{"image":%q}]}}`
	const patched = `allowed with [{"op":"add","path":"/metadata/labels","value":{"checked":"yes"}}]`
	labels := open(t, "examples/rego-required-labels", `{"labels":["team","cost-centre"]}`, rego.Options{})
	images := open(t, "plugins/rego/testdata/images", `{"registry":"registry.local/"}`, rego.Options{})
	decision := open(t, "plugins/rego/testdata/bool", ``, rego.Options{})
	for _, test := range []struct {
		name    string
		policy  *sandbox.Module
		request string
		want    string
	}{
		{"Gatekeeper: what violates nothing is allowed", labels, fmt.Sprintf(namespace, `{"team":"a","cost-centre":"7"}`), "allowed"},
		{"Gatekeeper: a violation denies with its message", labels, fmt.Sprintf(namespace, `{"team":"a"}`),
			`denied: Namespace "shop" must have the labels {"cost-centre"}`},
		{"Gatekeeper: a set is written in order", labels, fmt.Sprintf(namespace, `{}`),
			`denied: Namespace "shop" must have the labels {"cost-centre", "team"}`},
		{"Gatekeeper: what is deleted is the object", labels,
			`"kind":{"kind":"Namespace"},"operation":"DELETE","object":null,"oldObject":{"metadata":{"name":"old"}}`,
			`denied: Namespace "old" must have the labels {"cost-centre", "team"}`},
		{"OPA: a patch comes through", images, fmt.Sprintf(pod, "CREATE", "registry.local/db"), patched},
		{"OPA: the answer need not name the request", images, fmt.Sprintf(pod, "UPDATE", "registry.local/db"), "allowed"},
		{"OPA: settings are data and parameters", images, fmt.Sprintf(pod, "CREATE", "docker.io/db"),
			`denied: image "docker.io/db" comes from another registry than "registry.local/"`},
		{"a true rule allows", decision, `"userInfo":{"username":"alice"}`, "allowed"},
		{"a false rule denies", decision, `"userInfo":{"username":"bob"}`, "denied: "},
		{"an undefined rule is no verdict", decision, `"userInfo":{"username":"carol"}`,
			"failed: decision/allow is undefined for this request: give the rule a default"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 3 { // nothing is left of the calls before
				if got := verdict(ask(test.policy, test.request)); got != test.want {
					t.Fatalf("got  %s\nwant %s", got, test.want)
				}
			}
		})
	}
}

func TestAPolicyMustNotPatchIfItHasSaidThatItWillNot(t *testing.T) {
	images := policy(t, "plugins/rego/testdata/images")
	for metadata, want := range map[string]string{
		`{"mutating":false,"executionMode":"opa"}`: "failed: it changes the object, but its metadata (section io.kubewarden.metadata) say that it is not mutating",
		`{"mutating":true,"executionMode":"opa"}`:  "allowed with [",
		`{"executionMode":"opa"}`:                  "allowed with [",
	} {
		wasm, err := binary.SetCustom(images, "io.kubewarden.metadata", []byte(metadata))
		if err != nil {
			t.Fatal(err)
		}
		m, err := load(wasm, `{"registry":"registry.local/"}`, rego.Options{}, sandbox.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got := verdict(ask(m, `"operation":"CREATE","object":{"spec":{"containers":[{"image":"registry.local/web"}]}}`))
		m.Close()
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s\nwant %s", metadata, got, want)
		}
	}
}

func TestFunctionsOfTheHostAnswerAsOPAsInterpreterDoes(t *testing.T) {
	const dir = "plugins/rego/testdata/builtins"
	response, err := ask(open(t, dir, "", rego.Options{}), `"operation":"CREATE"`)
	if err != nil {
		t.Fatal(err)
	}
	opa, err := harness.OPA(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), opa, "eval", "data.builtins.deny", "testdata/builtins/builtins.rego")
	command.Stdin = strings.NewReader(`{}`)
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) < 20 {
		t.Fatalf("OPA itself finds %d messages only", len(want))
	}
	if diff := cmp.Diff(strings.Join(want, ", "), response.Result.Message); diff != "" {
		t.Errorf("(-OPA's interpreter +this host):\n%s", diff)
	}
}

func TestPoliciesThatDoNotSuitAreRefused(t *testing.T) {
	for _, test := range []struct {
		name, dir string
		options   rego.Options
		want      string
	}{
		{"a function that there is not", "plugins/rego/testdata/lookup", rego.Options{}, "functions of Rego that this server does not have: net.lookup_ip_addr"},
		{"an entrypoint that there is not", "plugins/rego/testdata/bool", rego.Options{Entrypoint: "x/y"},
			`no entrypoint "x/y", but decision/allow`},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := load(policy(t, test.dir), "", test.options, sandbox.Limits{})
			if err == nil {
				m.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q in it", err, test.want)
			}
		})
	}
}

func TestPoliciesThatTakeTooMuchAreStopped(t *testing.T) {
	wasm := policy(t, "plugins/rego/testdata/endless")
	for _, test := range []struct {
		name, operation string
		limits          sandbox.Limits
		want            sandbox.FaultKind
	}{
		{"time", "CREATE", sandbox.Limits{Deadline: 200 * time.Millisecond}, sandbox.Overdue},
		{"memory", "UPDATE", sandbox.Limits{}, sandbox.Trapped},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := load(wasm, "", rego.Options{}, test.limits)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			_, err = ask(m, fmt.Sprintf(`"operation":%q`, test.operation))
			var fault *sandbox.Fault
			if !errors.As(err, &fault) || fault.Kind != test.want {
				t.Errorf("got %v, want a fault of the kind %s", err, test.want)
			}
			if left := m.Trim(time.Now().Add(-time.Hour)); left != 0 {
				t.Errorf("%d instances are kept after a fault, want none", left)
			}
			if got := verdict(ask(m, `"operation":"CONNECT"`)); got != "allowed" {
				t.Errorf("the next request is %s", got)
			}
		})
	}
}

func TestBrokenModulesAreRefused(t *testing.T) {
	wasm := policy(t, "examples/rego-required-labels")
	for cut := 8; cut < len(wasm); cut += len(wasm) / 50 {
		m, err := load(wasm[:cut], "", rego.Options{}, sandbox.Limits{})
		if err == nil {
			m.Close()
			t.Errorf("the first %d of %d bytes are taken for a policy", cut, len(wasm))
		}
	}
}

func BenchmarkRequiredLabels(b *testing.B) {
	m := open(b, "examples/rego-required-labels", `{"labels":["team"]}`, rego.Options{})
	const request = `"kind":{"kind":"Namespace"},"operation":"CREATE","object":{"metadata":{"name":"shop","labels":{"app":"x"}}}`
	for b.Loop() {
		if _, err := ask(m, request); err != nil {
			b.Fatal(err)
		}
	}
}
