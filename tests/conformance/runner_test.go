package conformance

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNormaliserNamesWhatDiffersFromRunToRun(t *testing.T) {
	const (
		uid   = "0f14e45f-ceea-467f-a0e6-0000000000aa"
		other = "0f14e45f-ceea-467f-a0e6-0000000000bb"
		given = "8f14e45f-ceea-467f-a0e6-000000000001"
	)
	n := newNormaliser("6443", "metadata: {uid: "+given+"} # 10.96.0.200, 2026-01-02T03:04:05Z")
	now := n.now.UTC().Format("2006-01-02T15:04:05Z")
	tests := map[string]struct{ text, want string }{
		"a uid":                              {uid, "<uid 1>"},
		"the same uid among words":           {"uid " + uid + ".", "uid <uid 1>."},
		"another uid":                        {other, "<uid 2>"},
		"a uid that the case gives":          {given, given},
		"a time of now":                      {now, "<now>"},
		"a time of now, finer":               {strings.TrimSuffix(now, "Z") + ".123456Z", "<now, 6 digits>"},
		"a time that the case gives":         {"2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"},
		"a cluster IP":                       {"10.97.3.4", "<cluster IP 1>"},
		"a cluster IP that the case gives":   {"10.96.0.200", "10.96.0.200"},
		"a cluster IP that begins like it":   {"10.96.0.20", "<cluster IP 2>"},
		"the server's port":                  {"https://127.0.0.1:6443/x", "https://127.0.0.1:<port>/x"},
		"a resource version of the store":    {"Too large resource version: 9, current: 77", "Too large resource version: 9, current: <some rv>"},
		"a name that is nothing of the sort": {"web-1", "web-1"},
	}
	for _, name := range []string{"a uid", "the same uid among words", "another uid", "a cluster IP"} { // in the order of their numbers
		if got := n.text(tests[name].text); got != tests[name].want {
			t.Errorf("%s: %q, want %q", name, got, tests[name].want)
		}
	}
	for name, test := range tests {
		if got := n.text(test.text); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestNormaliserKeepsResourceVersionsOfObjectsApart(t *testing.T) {
	n := newNormaliser("6443", "")
	object := func(revision string) any {
		return map[string]any{"metadata": map[string]any{"resourceVersion": revision}}
	}
	got := []any{n.document(object("7")), n.document(object("8")), n.document(object("7")), n.document(map[string]any{
		"items": []any{object("8")}, "metadata": map[string]any{"resourceVersion": "9"},
	})}
	want := []any{object("<rv 1>"), object("<rv 2>"), object("<rv 1>"), map[string]any{
		"items": []any{object("<rv 2>")}, "metadata": map[string]any{"resourceVersion": "<list rv>"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCasesThatAreMistakenAreRefused(t *testing.T) {
	tests := map[string]string{
		"nothing in it":                 "# just a comment\n",
		"a request before the title":    "GET /api\n### get\nGET /api\n",
		"no path":                       "### get\nGET\n",
		"a header without a colon":      "### get\nGET /api\nAccept\n",
		"a directive that is none":      "### get\n# @gizmo\nGET /api\n",
		"events that are no number":     "### get\n# @events many\nGET /api\n",
		"a title that was there before": "### get\nGET /api\n\n### get\nGET /apis\n",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if steps, err := parse(text); err == nil {
				t.Errorf("parsed as %+v", steps)
			}
		})
	}
}

func TestDeviationsChangeWhatIsExpected(t *testing.T) {
	deviations := []deviation{
		{Step: "one", Upstream: "etcd", Gatehouse: "storage"},
		{Step: "t*", Upstream: "etcd", Gatehouse: "sqlite"},
		{Upstream: "500", Gatehouse: "400"},
	}
	tests := map[string]struct {
		title, want string
		used        []int
	}{
		"by title":           {"one", "400 storage", []int{0, 2}},
		"by a title's start": {"two", "400 sqlite", []int{1, 2}},
		"by the case":        {"four", "400 etcd", []int{2}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, used := apply(deviations, test.title, "500 etcd")
			if got != test.want || !cmp.Equal(used, test.used) {
				t.Errorf("%q by %v, want %q by %v", got, used, test.want, test.used)
			}
		})
	}
	if got, used := apply(deviations, "one", "200 OK"); got != "200 OK" || used != nil {
		t.Errorf("an answer without deviations became %q by %v", got, used)
	}
}
