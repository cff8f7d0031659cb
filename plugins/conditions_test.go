package plugins_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/apis/core"

	"gatehouse/plugins"
	"gatehouse/plugins/plugintest"
)

// denying is the files of a plugin that denies whatever it is asked about.
func denying(t testing.TB, config string) files {
	return script(t, "judge", `{"uid":"$uid","allowed":false,"status":{"message":"asked"}}`, config)
}

// world is what the server knows besides the request: the namespaces default and new, the latter not to its lister yet, and that jane
// may approve.
func world(labels map[string]string) func(*plugins.Options) {
	return func(o *plugins.Options) {
		indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
		if err := indexer.Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: labels}}); err != nil {
			panic(err)
		}
		o.Namespaces = corelisters.NewNamespaceLister(indexer)
		o.Client = fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "new", Labels: labels}})
		o.Authorizer = authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
			if a.GetUser().GetName() == "jane" && a.GetVerb() == "approve" {
				return authorizer.DecisionAllow, "", nil
			}
			return authorizer.DecisionNoOpinion, "", nil
		})
	}
}

func TestSelectorsAndConditionsSayWhoIsAsked(t *testing.T) {
	pod := func(labels map[string]string, change ...func(*core.Pod)) *core.Pod {
		pod := plugintest.Pod(labels)
		for _, c := range change {
			c(pod)
		}
		return pod
	}
	in := func(namespace string) func(*core.Pod) { return func(p *core.Pod) { p.Namespace = namespace } }
	blue := map[string]string{"team": "blue"}
	namespaceOf := func(object *core.Namespace, operation admission.Operation) admission.Attributes {
		return admission.NewAttributesRecord(object, nil, schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, object.Name, object.Name,
			schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "", operation, &metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "jane"})
	}
	node := admission.NewAttributesRecord(&core.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, nil, schema.GroupVersionKind{Version: "v1", Kind: "Node"}, "", "a",
		schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, "", admission.Create, &metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "jane"})
	const (
		ofTeam    = `admission: {namespaceSelector: {matchLabels: {team: blue}}}`
		notOfTeam = `admission: {namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [blue]}]}}`
		labelled  = `admission: {objectSelector: {matchExpressions: [{key: owner, operator: Exists}]}}`
	)
	when := func(expression string) string {
		return "admission: {matchConditions: [{name: it, expression: \"" + expression + "\"}]}"
	}
	for _, test := range []struct {
		name, config string
		namespace    map[string]string
		write        admission.Attributes
		want         string // part of the fate
	}{
		{"a namespace with the label", ofTeam, blue, plugintest.Create(pod(nil)), "asked"},
		{"a namespace without it", ofTeam, nil, plugintest.Create(pod(nil)), "allowed"},
		{"a namespace that is excepted", notOfTeam, blue, plugintest.Create(pod(nil)), "allowed"},
		{"a namespace that is not", notOfTeam, nil, plugintest.Create(pod(nil)), "asked"},
		{"a namespace so new that only the storage has it", ofTeam, blue, plugintest.Create(pod(nil, in("new"))), "asked"},
		{"a namespace that there is not", ofTeam, blue, plugintest.Create(pod(nil, in("none"))), `404 NotFound: namespaces "none" not found`},
		{"a namespace itself goes by the labels that it is to have", ofTeam, nil,
			namespaceOf(&core.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: blue}}, admission.Create), "asked"},
		{"what is in no namespace is selected", ofTeam, nil, node, "asked"},
		{"an object with the label", labelled, nil, plugintest.Create(pod(map[string]string{"owner": "a"})), "asked"},
		{"an object without it", labelled, nil, plugintest.Create(pod(nil)), "allowed"},
		{"an object that had it", labelled, nil, plugintest.Update(pod(nil), pod(map[string]string{"owner": "a"})), "asked"},
		{"an object that is deleted", labelled, nil, plugintest.Delete(pod(map[string]string{"owner": "a"})), "asked"},
		{"a condition that holds", when("object.spec.containers.exists(c, c.image == 'nginx')"), nil, plugintest.Create(pod(nil)), "asked"},
		{"a condition that does not", when("object.metadata.name.startsWith('db')"), nil, plugintest.Create(pod(nil)), "allowed"},
		{"a condition about the request", when("request.operation == 'CREATE' && request.userInfo.username == 'jane'"), nil, plugintest.Create(pod(nil)), "asked"},
		{"a condition about the old object", when("oldObject == null || has(oldObject.metadata.labels)"), nil, plugintest.Update(pod(nil), pod(nil)), "allowed"},
		{"a condition about what the user may do", when("!authorizer.group('').resource('pods').check('approve').allowed()"), nil, plugintest.Create(pod(nil)), "allowed"},
		{"a condition about what the user may not do", when("!authorizer.requestResource.check('deny').allowed()"), nil, plugintest.Create(pod(nil)), "asked"},
		{"one condition of two holds", `admission: {matchConditions: [{name: a, expression: "true"}, {name: b, expression: "false"}]}`, nil,
			plugintest.Create(pod(nil)), "allowed"},
		{"a condition is not looked at where the rules do not match",
			`admission: {rules: [{operations: [DELETE], apiGroups: ["*"], apiVersions: ["*"], resources: ["*"]}], matchConditions: [{name: a, expression: "object.none == 1"}]}`,
			nil, plugintest.Create(pod(nil)), "allowed"},
		{"a condition that fails beside one that does not hold",
			`admission: {matchConditions: [{name: a, expression: "object.none == 1"}, {name: b, expression: "false"}]}`, nil, plugintest.Create(pod(nil)), "allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, denying(t, test.config), world(test.namespace))
			for range 2 { // the second time what is remembered counts
				if got := plugintest.Fate(h.admit(t.Context(), test.write)); !strings.Contains(got, test.want) {
					t.Errorf("got %s, want %s", got, test.want)
				}
			}
		})
	}
}

func TestAnObjectSelectorSeesWhatPluginsBeforeHaveChanged(t *testing.T) {
	h := open(t, merge(
		script(t, "a-labels", patching(`[{"op":"add","path":"/metadata/labels","value":{"owner":"a"}}]`), "admission: {phases: [mutate]}"),
		denying(t, `admission: {phases: [mutate], objectSelector: {matchLabels: {owner: a}}, matchConditions: [{name: it, expression: "object.metadata.labels.owner == 'a'"}]}`),
	))
	if got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil)))); !strings.Contains(got, "asked") {
		t.Errorf("got %s, want it to be asked", got)
	}
}

func TestAConditionThatFailsDoesWhatTheFailurePolicySays(t *testing.T) {
	const config = `admission: {phases: [validate], matchConditions: [{name: it, expression: "object.metadata.labels.owner == 'a'"}]}`
	h := open(t, denying(t, config), world(nil))
	const want = `403 Forbidden: pods "web" is forbidden: failed calling admission plugin "judge" (revision `
	got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil))))
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "its admission.matchConditions cannot be evaluated: expression 'object.metadata.labels.owner == 'a'' resulted in error") {
		t.Errorf("got %s", got)
	}
	if failures := h.only().Failures; len(failures) != 1 || failures[0].Kind != plugins.Unevaluated {
		t.Errorf("the failures are %+v", failures)
	}
	h.write(denying(t, config+"\nfailurePolicy: Ignore"))
	h.sync()
	var warnings plugintest.Warnings
	write := &annotated{Attributes: plugintest.Create(plugintest.Pod(nil))}
	if err := h.admit(warnings.Context(t.Context()), write); err != nil {
		t.Errorf("got %v, want it to go on", err)
	}
	if len(warnings.Texts) != 1 || !strings.Contains(warnings.Texts[0], "cannot be evaluated") {
		t.Errorf("the warnings are %q", warnings.Texts)
	}
	if got := write.annotations["validate.failed-open.plugins.gatehouse.dev/judge"]; !strings.Contains(got, "cannot be evaluated") {
		t.Errorf("the annotations are %q", write.annotations)
	}
	if got := h.calls()["judge ignored admit"]; got != 1 {
		t.Errorf("%v calls are counted as ignored, want 1", got)
	}
}

func TestConditionsOfAnAuthorizerSayWhatItIsAskedAbout(t *testing.T) {
	when := func(expression, more string) files {
		return says(t, "judge", access(`{"denied":true}`), "authorization: {matchConditions: [{expression: \""+expression+"\"}]}\n"+more)
	}
	for _, test := range []struct{ name, expression, more, want string }{
		{"holds", "request.user == 'jane' && request.resourceAttributes.verb == 'get'", "", "denied, authorization plugin"},
		{"does not hold", "has(request.nonResourceAttributes)", "", "no opinion"},
		{"fails", "request.nonResourceAttributes.path == '/'", "", `denied, failed calling authorization plugin "judge"`},
		{"fails and is ignored", "request.nonResourceAttributes.path == '/'", "failurePolicy: Ignore", "no opinion"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, when(test.expression, test.more))
			var warnings plugintest.Warnings
			if got := h.decide(warnings.Context(t.Context()), getPod()); !strings.HasPrefix(got, test.want) {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if ignored := test.more != ""; ignored != (len(warnings.Texts) == 1) {
				t.Errorf("the warnings are %q", warnings.Texts)
			}
		})
	}
}

func TestMistakesInSelectorsAndConditionsAreFoundWhenTheyAreRead(t *testing.T) {
	for config, want := range map[string]string{
		"admission: {namespaceSelector: {matchLabels: {'a b': c}}}":                                           "admission.namespaceSelector.matchLabels: Invalid value",
		"admission: {objectSelector: {matchExpressions: [{key: a, operator: Is}]}}":                           "admission.objectSelector.matchExpressions[0].operator: Invalid value",
		"admission: {objectSelector: {matchLabel: {}}}":                                                       `unknown field "admission.objectSelector.matchLabel"`,
		"admission: {matchConditions: [{name: a, expression: object.}]}":                                      `admission.matchConditions[0].expression: "object.": compilation failed: `,
		"admission: {matchConditions: [{name: a, expression: '1'}]}":                                          `admission.matchConditions[0].expression: "1": must evaluate to bool but got int`,
		"admission: {matchConditions: [{name: a, expression: 'params.a'}]}":                                   "undeclared reference to 'params'",
		"admission: {matchConditions: [{name: a}]}":                                                           "admission.matchConditions[0].expression: is missing",
		"admission: {matchConditions: [{expression: 'true'}]}":                                                `admission.matchConditions[0].name: "" is no name for a condition`,
		"admission: {matchConditions: [{name: a, expression: 'true'}, {name: a, expression: 'true'}]}":        `admission.matchConditions[1].name: "a" stands twice`,
		"admission: {matchConditions: [" + strings.Repeat("{name: a, expression: 'true'},", 65) + "]}":        "admission.matchConditions: has 65 conditions, at most 64 are allowed",
		"authorization: {matchConditions: [{expression: 'request.users'}]}":                                   "authorization.matchConditions[0].expression: Invalid value: ",
		"authorization: {matchConditions: [{expression: ''}]}":                                                "authorization.matchConditions[0].expression: Required value",
		"authorization: {matchConditions: [{expression: 'authorizer.path(\"/\").check(\"get\").allowed()'}]}": "undeclared reference to 'authorizer'",
	} {
		if _, err := plugins.Configuration(nil, []byte(config), calm()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngives %v\nwant  %s", config, err, want)
		}
	}
}

func TestAMistakeInAConditionLeavesTheOldVersionServing(t *testing.T) {
	h := open(t, denying(t, "admission: {matchConditions: [{name: a, expression: 'true'}]}"))
	h.write(files{"judge.yaml": "admission: {matchConditions: [{name: a, expression: '1 +'}]}"})
	h.sync()
	if got := h.only(); got.State != plugins.Stale || !strings.Contains(got.Fault.Error(), "judge.yaml: admission.matchConditions[0].expression") {
		t.Errorf("it is %s because of %v", got.State, got.Fault)
	}
	if got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil)))); !strings.Contains(got, "asked") {
		t.Errorf("got %s, want the old version to be asked", got)
	}
}

func TestANamespaceSelectorNeedsSomebodyWhoKnowsNamespaces(t *testing.T) {
	h := open(t, denying(t, "admission: {namespaceSelector: {matchLabels: {a: b}}}"))
	if got := h.only(); got.State != plugins.Broken || !strings.Contains(got.Fault.Error(), "admission.namespaceSelector") {
		t.Errorf("it is %s because of %v", got.State, got.Fault)
	}
	got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil))))
	if !strings.Contains(got, "nobody here who knows the labels of namespaces") {
		t.Errorf("got %s, want the broken plugin to deny", got)
	}
}

func TestLabelsOfANamespaceThatChangeCountAtOnce(t *testing.T) {
	labels := map[string]string{}
	lister := namespaceFunc(func(name string) (*corev1.Namespace, error) {
		if name == "none" {
			return nil, errors.New("the disk is gone")
		}
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, nil
	})
	h := open(t, denying(t, "admission: {namespaceSelector: {matchLabels: {a: b}}}"), func(o *plugins.Options) { o.Namespaces = lister })
	for range 2 {
		for _, label := range []string{"b", "c"} {
			labels = map[string]string{"a": label}
			err := h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil)))
			if asked := err != nil; asked != (label == "b") {
				t.Errorf("with the label a=%s it is asked: %t", label, asked)
			}
		}
	}
	pod := plugintest.Pod(nil)
	pod.Namespace = "none"
	if err := h.admit(t.Context(), plugintest.Create(pod)); !apierrors.IsInternalError(err) {
		t.Errorf("got %v, want an internal error", err)
	}
}

// namespaceFunc is a lister that only gets.
type namespaceFunc func(name string) (*corev1.Namespace, error)

func (f namespaceFunc) Get(name string) (*corev1.Namespace, error) { return f(name) }

// List implements corelisters.NamespaceLister for nobody.
func (f namespaceFunc) List(labels.Selector) ([]*corev1.Namespace, error) { panic("nobody lists") }
