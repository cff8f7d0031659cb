package engine

import (
	"net/http"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/engine/loopback"
)

// shown makes an object of each of some kinds, all called shown and labelled so. What the server makes by itself may come at any time.
func shown(t *testing.T, s *running) {
	t.Helper()
	for _, object := range []struct{ collection, content string }{
		{"/api/v1/namespaces", ""},
		{"/api/v1/namespaces/shown/services", `,"spec":{"ports":[{"port":80}]}`},
		{"/apis/rbac.authorization.k8s.io/v1/clusterroles", `,"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]`},
	} {
		body := `{"metadata":{"name":"shown","labels":{"shown":"yes"}}` + object.content + "}"
		response, answer := do(t, s.admin(t), http.MethodPost, s.URL+object.collection, body, "Content-Type", "application/json")
		if response.StatusCode != http.StatusCreated {
			t.Fatalf("create one of %s: %s", object.collection, answer)
		}
	}
}

func TestPluginsAreToldThatSomethingHasChanged(t *testing.T) {
	config := testConfig(t, t.TempDir())
	config.Controllers = []string{"external"} // nobody else changes roles
	s := serve(t, config)
	roles := schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}
	changed := func() int64 {
		revision, err := s.parts.reach.Changed(t.Context(), roles)
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	before := changed()
	shown(t, s)
	after := changed()
	do(t, s.admin(t), http.MethodDelete, s.URL+"/api/v1/namespaces/shown/services/shown", "")
	if again := changed(); after <= before || again != after {
		t.Errorf("it changed at %d, then %d, and without reason at %d", before, after, again)
	}
	if _, err := s.parts.reach.Changed(t.Context(), schema.GroupVersionKind{Version: "v1", Kind: "A"}); err == nil {
		t.Error("what there is not has changed")
	}
}

func TestPluginsSeeWhatClientsSee(t *testing.T) {
	s := serve(t, testConfig(t, t.TempDir()))
	shown(t, s)
	for _, test := range []struct {
		kind            schema.GroupVersionKind
		namespace, path string
	}{
		{schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, "", "/api/v1/namespaces"},
		{schema.GroupVersionKind{Version: "v1", Kind: "Service"}, "shown", "/api/v1/namespaces/shown/services"},
		{schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}, "", "/apis/rbac.authorization.k8s.io/v1/clusterroles"},
	} {
		_, want := do(t, s.admin(t), http.MethodGet, s.URL+test.path+"/shown", "")
		got, err := s.parts.reach.Get(t.Context(), test.kind, test.namespace, "shown", 1<<20)
		if err != nil || string(got) != strings.TrimSuffix(want, "\n") || !strings.Contains(want, `"shown":"yes"`) {
			t.Errorf("%s: got  %s, %v\nwant %s", test.kind, got, err, want)
		}
		if got, err := s.parts.reach.Get(t.Context(), test.kind, test.namespace, "nothing", 1<<20); got != nil || err != nil {
			t.Errorf("%s that is not there: got %s, %v, want nothing", test.kind, got, err)
		}
		_, want = do(t, s.admin(t), http.MethodGet, s.URL+test.path+"?labelSelector=shown%3Dyes", "")
		got, err = s.parts.reach.List(t.Context(), test.kind, test.namespace, "shown=yes", 500, 1<<20)
		// The store may have gone on in between, and with it the list's resourceVersion.
		if err != nil || afterMetadata(t, string(got)) != strings.TrimSuffix(afterMetadata(t, want), "\n") || !strings.Contains(want, `"shown":"yes"`) {
			t.Errorf("%s: got  %s, %v\nwant %s", test.kind, got, err, want)
		}
	}
}

// afterMetadata is a list's items, and what comes after them.
func afterMetadata(t *testing.T, list string) string {
	t.Helper()
	_, items, found := strings.Cut(list, `,"items":`)
	if !found {
		t.Errorf("%s is no list", list)
	}
	return items
}

func TestPluginsAreToldWhyTheyCannotSee(t *testing.T) {
	s := serve(t, testConfig(t, t.TempDir()))
	shown(t, s)
	namespaces := schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}
	roles := schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}
	services := schema.GroupVersionKind{Version: "v1", Kind: "Service"}
	early := newReach(&loopback.Transport{})
	get := func(r *reach, kind schema.GroupVersionKind, namespace string, maxBytes int64) error {
		_, err := r.Get(t.Context(), kind, namespace, "shown", maxBytes)
		return err
	}
	list := func(kind schema.GroupVersionKind, maxObjects int, maxBytes int64) error {
		_, err := s.parts.reach.List(t.Context(), kind, "", "", maxObjects, maxBytes)
		return err
	}
	_, denied := s.parts.reach.Review(t.Context(), authorizationv1.SubjectAccessReviewSpec{User: "jane"})
	_, tooEarly := early.Review(t.Context(), authorizationv1.SubjectAccessReviewSpec{User: "jane"})
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"too early", get(early, namespaces, "", 1<<20), "the server does not serve yet"},
		{"too early to ask", tooEarly, "the server does not serve yet"},
		{"a question that is none", denied, "exactly one of nonResourceAttributes or resourceAttributes must be specified"},
		{"a group that is not served", get(s.parts.reach, schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "A"}, "", 1<<20), "example.com/v1 is not served"},
		{"a kind that is not", get(s.parts.reach, schema.GroupVersionKind{Version: "v1", Kind: "A"}, "", 1<<20), "has no objects that are stored"},
		{"a kind without objects", get(s.parts.reach, schema.GroupVersionKind{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenReview"}, "", 1<<20),
			"has no objects that are stored"},
		{"a namespace too many", get(s.parts.reach, namespaces, "default", 1<<20), "a Namespace is in no namespace"},
		{"a namespace too few", get(s.parts.reach, services, "", 1<<20), `the Service "shown" is in a namespace`},
		{"too long an object", get(s.parts.reach, namespaces, "", 10), "more than the 10 bytes of capabilities.k8s.maxBytes"},
		{"too long a list", list(roles, 500, 100), "more than the 100 bytes of capabilities.k8s.maxBytes"},
		{"too many objects", list(roles, 1, 1<<20), "more than the 1 objects of capabilities.k8s.maxObjects"},
		{"as many as may be", list(schema.GroupVersionKind{Version: "v1", Kind: "Node"}, 1, 1<<20), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			switch {
			case test.want == "" && test.err != nil, test.want != "" && test.err == nil, test.err != nil && !strings.Contains(test.err.Error(), test.want):
				t.Errorf("got %v, want %q", test.err, test.want)
			}
		})
	}
}
