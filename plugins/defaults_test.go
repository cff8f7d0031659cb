package plugins_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/kubernetes/pkg/apis/core"

	"gatehouse/plugins"
	"gatehouse/plugins/internal/binary"
	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/plugintest"
	"gatehouse/plugins/sandbox"
)

// saying is a module whose author says that.
func saying(t testing.TB, module, section, text string) string {
	t.Helper()
	wasm, err := binary.SetCustom([]byte(module), section, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(wasm)
}

// authored is the files of the plugin judge, which denies what it is asked about, its author's words being text.
func authored(t testing.TB, text, config string) files {
	content := denying(t, config)
	content["judge.wasm"] = saying(t, content["judge.wasm"], plugins.DefaultsSection, text)
	return content
}

// writes are the creations that tests about configurations try.
func (h *host) writes() string {
	var fates []string
	for _, one := range []struct {
		name string
		fate error
	}{
		{"Pod", h.admit(h.t.Context(), plugintest.Create(plugintest.Pod(nil)))},
		{"labelled Pod", h.admit(h.t.Context(), plugintest.Create(plugintest.Pod(map[string]string{"judge": "me"})))},
		{"Secret", h.admit(h.t.Context(), plugintest.CreateSecret(&core.Secret{}))},
	} {
		if plugintest.Fate(one.fate) != "allowed" {
			fates = append(fates, one.name)
		}
	}
	return strings.Join(fates, ", ")
}

const (
	aboutPods    = `rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]`
	aboutSecrets = `rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [secrets]}]`
	aboutLabels  = `objectSelector: {matchLabels: {judge: me}}`
)

func TestTheOperatorsKeysTakeThePlaceOfTheAuthors(t *testing.T) {
	const everything = "Pod, labelled Pod, Secret"
	for _, test := range []struct{ name, author, operator, denied string }{
		{"nobody says anything", "", "", everything},
		{"the author says nothing of admission", "description: a judge", "", everything},
		{"the author alone", "admission: {" + aboutPods + "}", "", "Pod, labelled Pod"},
		{"the author in JSON", `{"admission": {"objectSelector": {"matchLabels": {"judge": "me"}}}}`, "", "labelled Pod"},
		{"another key of the same section", "admission: {" + aboutPods + "}", "admission: {" + aboutLabels + "}", "labelled Pod"},
		{"the same key", "admission: {" + aboutPods + "}", "admission: {" + aboutSecrets + "}", "Secret"},
		{"the same key, the author's others stay", "admission: {" + aboutPods + ", " + aboutLabels + "}", "admission: {" + aboutSecrets + "}", ""},
		{"a null leaves the key to the server", "admission: {" + aboutPods + "}", "admission: {rules: null}", everything},
		{"a section that is null leaves it all", "admission: {" + aboutPods + "}", "admission: null", everything},
		{"an empty section says nothing", "admission: {" + aboutPods + "}", "admission: {}", "Pod, labelled Pod"},
		{"an empty selector selects everything", "admission: {" + aboutLabels + "}", "admission: {objectSelector: {}}", everything},
		{"the author's conditions", `admission: {matchConditions: [{name: a, expression: "request.kind.kind == 'Secret'"}]}`, "", "Secret"},
		{"no conditions", `admission: {matchConditions: [{name: a, expression: "request.kind.kind == 'Secret'"}]}`, "admission: {matchConditions: []}", everything},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, authored(t, test.author, test.operator))
			if got := h.only(); got.State != plugins.Serving {
				t.Fatalf("it is %s: %v", got.State, got.Fault)
			}
			if got := h.writes(); got != test.denied {
				t.Errorf("denied are %q, want %q", got, test.denied)
			}
		})
	}
}

func TestSettingsAreReplacedOneByOne(t *testing.T) {
	content := files{
		"judge.wasm": saying(t, string(guesttest.Read(t, "script")), plugins.DefaultsSection,
			`settings: {apiVersion: admission.k8s.io/v1, kind: AdmissionReview, response: {allowed: true}}`),
		"judge.yaml": fmt.Sprintf(`settings: {response: {uid: %q, allowed: false, status: {message: asked}}}`, strings.Repeat("0", 36)),
	}
	h := open(t, content)
	if got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil)))); !strings.Contains(got, "denied the request: asked") {
		t.Errorf("got %s", got)
	}
	if diff := cmp.Diff([]string{"apiVersion", "kind", "response"}, h.only().SettingNames); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestAnAuthorMayTakeRolesAndSayWhatAnAuthenticatorSees(t *testing.T) {
	two := saying(t, string(guesttest.Read(t, "two-roles")), plugins.DefaultsSection, "roles: [authorize]")
	for config, want := range map[string]sandbox.Role{"": sandbox.Authorize, "roles: [admit]": sandbox.Admit} {
		h := open(t, files{"p.wasm": two, "p.yaml": config + "\n"})
		if got := h.only(); got.Fault != nil || !slices.Equal(got.Roles, []sandbox.Role{want}) {
			t.Errorf("%q: roles %v, %v; want %s", config, got.Roles, got.Fault, want)
		}
	}
	two = saying(t, two, plugins.DefaultsSection, "roles: [authenticate]")
	h := open(t, files{"p.wasm": two})
	if got := h.only(); got.Fault == nil || !strings.Contains(got.Fault.Error(), "roles: it is given the role authenticate, but it plays") {
		t.Errorf("got %s: %v", got.State, got.Fault)
	}
	h = open(t, files{"p.wasm": saying(t, string(guesttest.Read(t, "says")), plugins.DefaultsSection,
		"authentication: {tokens: false, requests: {headers: [x-key]}}\nauthorization: {rules: [{verbs: [get]}]}")})
	if got := string(h.only().Configuration); !strings.Contains(got, `"tokens":false,"requests":{"headers":["X-Key"]}`) || !strings.Contains(got, `"rules":[{"verbs":["get"]}]`) {
		t.Errorf("it is %v, run with %s", h.only().Fault, got)
	}
}

func TestASectionThatCannotBeReadBreaksTheModule(t *testing.T) {
	section := "the module's section gatehouse_plugin_v1: "
	for _, test := range []struct{ name, text, want string }{
		{"no YAML", "a: [b", section + "is no YAML"},
		{"no mapping", "[1]", section + "is no mapping of keys to values"},
		{"a key given twice", "roles: [admit]\nroles: [admit]", section + `is no YAML: `},
		{"a key that does not exist", "admision: {}", section + `unknown field "admision"`},
		{"a rule without resources", `admission: {rules: [{operations: ["*"], apiGroups: [""], apiVersions: [v1]}]}`, section + "admission.rules[0].resources: is missing"},
		{"no rules at all", "admission: {rules: []}", section + "admission.rules: is empty"},
		{"a rule that matches nothing", "authorization: {rules: [{verbs: []}]}", section + "authorization.rules[0].verbs: is empty"},
		{"a grant", "capabilities: {cache: {}}", section + "capabilities: are the operator's to grant: say under wants"},
		{"a wish that there is not", "wants: {files: {}}", section + `unknown field "wants.files"`},
		{"names of the cluster's", "authentication: {systemNames: ['system:a']}", section + "authentication.systemNames: is the operator's to say"},
		{"limits", "limits: {memory: 1Gi}", section + "limits: is the operator's to say, in NAME.yaml"},
		{"what failures mean", "failurePolicy: Ignore", section + "failurePolicy: is the operator's to say, in NAME.yaml"},
		{"no failure policy at all", "failurePolicy: null", section + "failurePolicy: is the operator's to say"},
		{"who vouches for it", "publicKey: x", section + "publicKey: is the operator's to say"},
		{"its hash", "sha256: x", section + "sha256: is the operator's to say"},
		{"what users may do", `admission: {matchConditions: [{name: a, expression: "authorizer.path('/').check('get').allowed()"}]}`,
			section + "admission.matchConditions[0].expression: "},
		{"too much", "description: " + strings.Repeat("x", 64<<10), section + "it has 65550 bytes, more than 64 KiB"},
		{"too many wishes", "wants: {k8s: {objects: [" + strings.Repeat("{apiVersion: v1, kind: Pod},", 101) + "]}}", section + "wants: has 101 things, more than 100"},
		{"what does not go with the operator's", "authentication: {tokens: false, requests: {query: true}}",
			"its configuration does not go with the module's section gatehouse_plugin_v1: authentication.tokens: is false and there are no requests"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, authored(t, test.text+"\n", "authentication: {requests: null}\n"))
			got := h.only()
			if got.State != plugins.Broken || !strings.HasPrefix(got.Fault.Error(), test.want) || strings.Contains(got.Fault.Error(), "\n") {
				t.Fatalf("it is %s: %v\nwant %s", got.State, got.Fault, test.want)
			}
			if got := h.writes(); got != "Pod, labelled Pod, Secret" {
				t.Errorf("denied are %q, want everything", got)
			}
		})
	}
	t.Run("two sections", func(t *testing.T) {
		content := authored(t, "roles: [admit]", "")
		content["judge.wasm"] += "\x00\x14\x13" + plugins.DefaultsSection
		h := open(t, content)
		if got := h.only(); got.State != plugins.Broken || !strings.HasPrefix(got.Fault.Error(), "the section gatehouse_plugin_v1 is there 2 times") {
			t.Errorf("it is %s: %v", got.State, got.Fault)
		}
	})
}

func TestABrokenModuleDeniesWhatItsAuthorSaysIfSomebodyVouchesForIt(t *testing.T) {
	const everything = "Pod, labelled Pod, Secret"
	trap := saying(t, module(t, "start-trap"), plugins.DefaultsSection, "admission: {"+aboutPods+"}")
	for _, test := range []struct{ name, module, config, denied string }{
		{"nobody has to", trap, "", "Pod, labelled Pod"},
		{"its operator says what concerns it", trap, "admission: {" + aboutSecrets + "}", "Secret"},
		{"it is another than it should be", trap, "sha256: " + strings.Repeat("ab", 32), everything},
		{"it is another, and its operator says what concerns it", trap, "admission: {" + aboutLabels + "}\nsha256: " + strings.Repeat("ab", 32), "labelled Pod"},
		{"it is damaged", trap[:len(trap)-1], "", everything},
		{"its end is missing", trap[:len(module(t, "start-trap"))], "", everything},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, files{"p.wasm": test.module, "p.yaml": test.config + "\n"})
			if got := h.only(); got.State != plugins.Broken {
				t.Fatalf("it is %s", got.State)
			}
			if got := h.writes(); got != test.denied {
				t.Errorf("denied are %q, want %q", got, test.denied)
			}
		})
	}
}

// TestWhatAnAuthorMayHaveSaidIsDeniedAsLongAsNobodyKnows is about subresources, which no plugin is asked about by default: with a module
// that is for them alone, and is not what it should be, they would pass.
func TestWhatAnAuthorMayHaveSaidIsDeniedAsLongAsNobodyKnows(t *testing.T) {
	const aboutExec = `rules: [{operations: [CONNECT], apiGroups: [""], apiVersions: [v1], resources: [pods/exec]}]`
	good, trap := module(t, "trap"), module(t, "start-trap")
	of := func(wasm, text string) string { return saying(t, wasm, plugins.DefaultsSection, text) }
	another := "sha256: " + strings.Repeat("ab", 32)
	for _, test := range []struct {
		name, module, config string
		denied               bool
	}{
		{"it serves", of(good, "admission: {"+aboutExec+"}"), "", true},
		{"it does not start", of(trap, "admission: {"+aboutExec+"}"), "", true},
		{"its author speaks of something else", of(trap, "admission: {"+aboutPods+"}"), "", false},
		{"its author says nothing", trap, "", false},
		{"it is another than it should be", of(good, "admission: {"+aboutPods+"}"), another, true},
		{"it is another, and its operator says what concerns it", of(good, ""), "admission: {" + aboutPods + "}\n" + another, false},
		{"what its author says cannot be read", of(good, "admission: ["), "", true},
		{"it is damaged", of(good, "admission: {"+aboutExec+"}")[:len(good)+1], "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, files{"p.wasm": test.module, "p.yaml": test.config + "\n"})
			got := plugintest.Fate(h.admit(t.Context(), plugintest.Exec(plugintest.Pod(nil))))
			if denied := got != "allowed"; denied != test.denied {
				t.Errorf("exec is %s; the plugin is %s: %v", got, h.only().State, h.only().Fault)
			}
		})
	}
}

func TestOnlyWhatConcernsAPluginWaitsForItsModuleToStart(t *testing.T) {
	dir, started := t.TempDir(), make(chan struct{})
	h := &host{t: t, dir: dir, log: &plugintest.Log{}}
	h.write(files{"p.wasm": saying(t, module(t, "initialize-ask"), plugins.DefaultsSection, "admission: {"+aboutPods+"}")})
	var err error
	h.Set, err = plugins.Open(t.Context(), plugins.Options{Dir: dir, Limits: calm(), LoadWait: calm().Start, Operations: map[string]sandbox.Operation{
		"echo": func(context.Context, []byte) ([]byte, error) { <-started; return nil, nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	defer close(started)
	if got := plugintest.Fate(h.admit(t.Context(), plugintest.CreateSecret(&core.Secret{}))); got != "allowed" {
		t.Errorf("a Secret is %s", got)
	}
	ctx, cancel := contextOver()
	defer cancel()
	if got := plugintest.Fate(h.admit(ctx, plugintest.Create(plugintest.Pod(nil)))); !strings.HasPrefix(got, "504 Timeout: ") {
		t.Errorf("a Pod is %s", got)
	}
	if got := h.only().State; got != plugins.Loading {
		t.Errorf("it is %s", got)
	}
}

func TestWhatAnAuthorWantsIsNamedAndNotGranted(t *testing.T) {
	const wants = `wants:
  k8s: {objects: [{apiVersion: v1, kind: Namespace}, {apiVersion: v1, kind: "Po\e[31md"}]}
  authz: {canI: true}
  crypto: {verifyJWT: {}, verifyCert: true}
  http: {urls: [https://scan.example.com/v1/], methods: [GET, POST]}
  cache: {}
`
	all := []string{"k8s.objects: {apiVersion: v1, kind: Namespace}", "k8s.objects: {apiVersion: v1, kind: Po [31md}", "authz.canI", "crypto.verifyJWT",
		"crypto.verifyCert", "http.urls: https://scan.example.com/v1/", "http.methods: POST", "cache"}
	for _, test := range []struct {
		name, wants, config string
		lacking             []string
	}{
		{"nothing is granted", wants, "", all},
		{"some is", wants, `capabilities: {k8s: {objects: [{apiVersion: v1, kind: Namespace, names: [a]}]}, http: {urls: [https://scan.example.com/]},
  authz: {canI: true}, crypto: {verifyCert: true}, cache: {maxBytes: 1Ki}}`,
			[]string{"k8s.objects: {apiVersion: v1, kind: Po [31md}", "crypto.verifyJWT", "http.methods: POST"}},
		{"without saying which", "wants: {k8s: {}, http: {}}", "", []string{"k8s.objects", "http.urls"}},
		{"without saying which, and some are granted", "wants: {k8s: {}, http: {}}",
			"capabilities: {k8s: {objects: [{apiVersion: v1, kind: Pod}]}, http: {urls: [https://a.example.com/]}}", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, authored(t, test.wants, test.config))
			got := h.only()
			if diff := cmp.Diff(test.lacking, got.Wants); got.State != plugins.Serving || diff != "" {
				t.Errorf("it is %s: %v; wants (-want +got):\n%s", got.State, got.Fault, diff)
			}
			if said := strings.Contains(h.log.String(), "plugin would like capabilities"); said != (test.lacking != nil) {
				t.Errorf("the log says so: %t", said)
			}
		})
	}
	h := open(t, files{"p.wasm": saying(t, module(t, "operation"), plugins.DefaultsSection, "wants: {cache: {}}")})
	if got := string(h.only().Configuration); h.only().State != plugins.Serving || strings.Contains(got, "cache") || strings.Contains(got, "wants") {
		t.Errorf("it is %v, run with %s", h.only().Fault, got)
	}
}

func TestKubewardensMetadataAreDefaults(t *testing.T) {
	const pods = `{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"]}`
	for _, test := range []struct{ name, metadata, config, denied, fault string }{
		{name: "rules", metadata: `{"rules":[` + pods + `]}`, denied: "Pod, labelled Pod"},
		{name: "no rules", metadata: `{"rules":[],"mutating":true}`, denied: "Pod, labelled Pod, Secret"},
		{name: "the operator's rules", metadata: `{"rules":[` + pods + `]}`, config: "admission: {" + aboutSecrets + "}", denied: "Secret"},
		{name: "a rule that is none", metadata: `{"rules":[{"operations":["PATCH"],"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"]}]}`,
			denied: "Pod, labelled Pod, Secret", fault: `the module's section io.kubewarden.metadata: rules[0].operations[0]: "PATCH" is none of`},
		{name: "another type", metadata: `{"rules":[` + pods + `],"policyType":"raw"}`,
			denied: "Pod, labelled Pod, Secret", fault: "the section io.kubewarden.metadata: policyType: a raw policy cannot be asked"},
		{name: "no JSON", metadata: `{`, denied: "Pod, labelled Pod, Secret", fault: "read the section io.kubewarden.metadata: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			// The module does not work: what it concerns is denied.
			h := open(t, files{"p.wasm": saying(t, string(exporting("__guest_call")), "io.kubewarden.metadata", test.metadata), "p.yaml": test.config + "\n"})
			got := h.only()
			if test.fault == "" {
				test.fault = `exports "__guest_call" with another type`
			}
			if got.Fault == nil || !strings.HasPrefix(got.Fault.Error(), test.fault) {
				t.Errorf("it is %s: %v, want %s", got.State, got.Fault, test.fault)
			}
			if got := h.writes(); got != test.denied {
				t.Errorf("denied are %q, want %q", got, test.denied)
			}
		})
	}
	wasm := saying(t, string(exporting("__guest_call")), "io.kubewarden.metadata", `{"rules":[`+pods+`],"mutating":false,
		"contextAwareResources":[{"apiVersion":"v1","kind":"Namespace"}],"annotations":{"io.kubewarden.policy.title":"a title"}}`)
	status := open(t, files{"p.wasm": wasm}).only()
	if diff := cmp.Diff([]string{"k8s.objects: {apiVersion: v1, kind: Namespace}"}, status.Wants); diff != "" || status.Description != "a title" ||
		!strings.Contains(string(status.Configuration), `"phases":["validate"]`) {
		t.Errorf("it is %q, run with %s, and wants (-want +got):\n%s", status.Description, status.Configuration, diff)
	}
	h := open(t, files{"p.wasm": saying(t, wasm, plugins.DefaultsSection, "admission: {"+aboutSecrets+"}")})
	if got := h.writes(); got != "Secret" {
		t.Errorf("with a section of its own, denied are %q", got)
	}
	// A module that is none of Kubewarden's may have such a section all the same.
	h = open(t, merge(denying(t, ""), files{"judge.wasm": saying(t, denying(t, "")["judge.wasm"], "io.kubewarden.metadata", "{")}))
	if got := h.only(); got.State != plugins.Serving {
		t.Errorf("it is %s: %v", got.State, got.Fault)
	}
}

// FuzzDefaults reads whatever it is given as a module's section: it must be refused in one line, and can neither grant anything nor keep
// what the operator says from being so.
func FuzzDefaults(f *testing.F) {
	for _, seed := range []string{
		"", "null", "[]", "a: &a [*a]", "roles: [admit]", "admission: {" + aboutPods + "}", "admission: null", "settings: {a: 1}", "settings: null",
		`{"wants":{"cache":{},"http":{"urls":["https://example.com/"]}}}`, "capabilities: {cache: {}}", "authentication: {tokens: false, requests: {headers: [a]}}",
		"authorization: {rules: [{verbs: [get]}], matchConditions: [{expression: 'true'}]}", "Capabilities: {cache: {}}", "failurePolicy: Ignore",
	} {
		f.Add([]byte(seed))
	}
	const operators = "admission: {" + aboutSecrets + "}\nsettings: {a: b}"
	wasm := guesttest.Read(f, "allow")
	f.Fuzz(func(t *testing.T, text []byte) {
		module, err := binary.SetCustom(wasm, plugins.DefaultsSection, text)
		if err != nil {
			t.Fatal(err)
		}
		complete, err := plugins.Configuration(module, []byte(operators), calm())
		if refused := plugins.CheckDefaults(text); refused != nil && err == nil {
			t.Errorf("it is refused by itself: %v", refused)
		}
		if err != nil {
			if text := err.Error(); text == "" || strings.Contains(text, "\n") {
				t.Errorf("the error is not one line: %q", text)
			}
			return
		}
		for _, want := range []string{"capabilities: {}\n", "failurePolicy: Fail\n", "    - secrets\n", "  a: b\n"} {
			if !strings.Contains(string(complete), want) {
				t.Errorf("the configuration has no %q:\n%s", want, complete)
			}
		}
		if strings.Contains(string(complete), "systemNames") {
			t.Errorf("it may name the cluster's own:\n%s", complete)
		}
	})
}
