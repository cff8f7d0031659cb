package e2e

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse/tests/harness"
)

// record rewrites the answers to compare with. It only makes sense with GATEHOUSE_TEST_BINARY naming an adapter that runs
// kube-apiserver of the same version with gatehouse's flags.
var record = flag.Bool("record", false, "take the server's answers as those to compare with")

// request is one that is answered by upstream's code as much as by ours: the answer has to be kube-apiserver's.
type request struct {
	name   string
	method string
	path   string
	body   string
	header []string
}

// startAsRecorded runs a server as kube-apiserver ran when its answers were recorded: without a controller manager, but with the
// service account that pods need.
func startAsRecorded(t *testing.T) *harness.Server {
	t.Helper()
	var options harness.Options
	if !*record {
		options.Flags = []string{"--controllers=external"}
	}
	server := harness.Start(t, options)
	const accounts = "/api/v1/namespaces/default/serviceaccounts"
	made := newPlain(t, server).do(post, accounts, `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}`, asJSON)
	if made.code != http.StatusCreated {
		t.Fatalf("make the service account of pods: %d %s", made.code, made.body)
	}
	return server
}

// TestAnswersAreKubeAPIServers sends what no client would let through, and compares status, headers and bodies with recorded
// ones. The requests stand in one order, and some live off those before them.
func TestAnswersAreKubeAPIServers(t *testing.T) {
	client := newPlain(t, startAsRecorded(t))
	var got strings.Builder
	for _, r := range requests() {
		answer := client.do(r.method, r.path, r.body, r.header...)
		fmt.Fprintf(&got, "== %s\n%s %s\n%s\n", r.name, r.method, abbreviated(r.path), describe(answer))
	}
	compareRecorded(t, "testdata/answers.txt", got.String())
}

// compareRecorded compares answers with those in a file, or writes them to it with -record.
func compareRecorded(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.FromSlash(file)
	if *record {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	compareSections(t, string(want), got)
}

// compareSections fails once for each answer that differs.
func compareSections(t *testing.T, want, got string) {
	t.Helper()
	wants, gots := sections(want), sections(got)
	for name, text := range gots {
		if _, recorded := wants[name]; !recorded {
			t.Errorf("%s: no answer was recorded; run with -record on kube-apiserver", name)
			continue
		}
		if diff := cmp.Diff(wants[name], text); diff != "" {
			t.Errorf("%s: not kube-apiserver's answer (-want +got):\n%s", name, diff)
		}
		delete(wants, name)
	}
	for name := range wants {
		t.Errorf("%s: recorded, but not asked", name)
	}
}

func sections(text string) map[string]string {
	found := map[string]string{}
	for _, section := range strings.Split("\n"+text, "\n== ")[1:] {
		name, rest, _ := strings.Cut(section, "\n")
		found[name] = strings.TrimSpace(rest)
	}
	return found
}

// describe is an answer without what differs from run to run.
func describe(a answer) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d\n", a.code)
	for _, name := range []string{"Allow", "Cache-Control", "Content-Type", "Retry-After", "Warning", "X-Content-Type-Options"} {
		for _, value := range a.header.Values(name) {
			fmt.Fprintf(&text, "%s: %s\n", name, value)
		}
	}
	text.WriteString(steady(strings.TrimSpace(a.body)))
	return text.String()
}

// steady replaces what differs from run to run by what it is.
func steady(body string) string {
	for _, replace := range []struct{ pattern, by string }{
		{`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "UID"},
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "TIME"},
		{`(resourceVersion\\*"?: ?\\*")\d+`, "${1}REVISION"},
		{`current: \d+`, "current: REVISION"},
		{`kube-api-access-[a-z0-9]{5}`, "kube-api-access-NAME"},
		{`in record \(\d+\)`, "in record (REVISION)"},
	} {
		body = regexp.MustCompile(replace.pattern).ReplaceAllString(body, replace.by)
	}
	return abbreviated(body)
}

// abbreviated cuts runs of one letter, which only some requests have, to be long.
func abbreviated(text string) string {
	return regexp.MustCompile(`x{50,}`).ReplaceAllString(text, "xx...xx")
}

const (
	asJSON      = "Content-Type: application/json"
	asYAML      = "Content-Type: application/yaml"
	asProtobuf  = "Content-Type: application/vnd.kubernetes.protobuf"
	asText      = "Content-Type: text/plain"
	asMerge     = "Content-Type: application/merge-patch+json"
	asJSONPatch = "Content-Type: application/json-patch+json"
	asStrategic = "Content-Type: application/strategic-merge-patch+json"
	asApply     = "Content-Type: application/apply-patch+yaml"

	mapsPath  = "/api/v1/namespaces/default/configmaps"
	therePath = mapsPath + "/there"
	podsPath  = "/api/v1/namespaces/default/pods"

	get, post, put, patch, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
)

// mapNamed is a ConfigMap in JSON, with further text inside its braces.
func mapNamed(name, more string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q}%s}`, name, more)
}

// requests are all that are sent, in order.
func requests() []request {
	tooLong := mapNamed("big", `,"data":{"a":"`+strings.Repeat("x", 3<<20)+`"}`)
	all := [][]request{
		{
			{"an object is created", post, mapsPath, mapNamed("there", ""), []string{asJSON}},
			{"an object without a kind is what its path says", post, mapsPath, `{"metadata":{"name":"kindless"}}`, []string{asJSON}},
			{"a body without a content type is JSON", post, mapsPath, mapNamed("typeless", ""), nil},
			{"a body in YAML", post, mapsPath, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\n", []string{asYAML}},
		},
		badBodies(tooLong), badTypes(), badPaths(), badMethods(), badOptions(), badObjects(), badPatches(tooLong), badDeletes(),
		badSubresources(), goodAnswers(),
	}
	var flat []request
	for _, some := range all {
		flat = append(flat, some...)
	}
	return flat
}

func badBodies(tooLong string) []request {
	return []request{
		{"the object exists already", post, mapsPath, mapNamed("there", ""), []string{asJSON}},
		{"JSON that ends too early", post, mapsPath, `{"apiVersion":"v1",`, []string{asJSON}},
		{"JSON that is none", post, mapsPath, "hello", []string{asJSON}},
		{"an empty body", post, mapsPath, "", []string{asJSON}},
		{"a field of another type", post, mapsPath, mapNamed("a", `,"data":[1]`), []string{asJSON}},
		{"an object of another kind", post, mapsPath, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}`, []string{asJSON}},
		{"an object of an unknown version", post, mapsPath, `{"apiVersion":"v9","kind":"ConfigMap"}`, []string{asJSON}},
		{"an object of an unknown kind", post, mapsPath, `{"apiVersion":"v1","kind":"Nothing"}`, []string{asJSON}},
		{"YAML that ends too early", post, mapsPath, "apiVersion: [v1\nkind: ConfigMap", []string{asYAML}},
		{"YAML with a tab", post, mapsPath, "a:\n\t- b", []string{asYAML}},
		{"YAML that is JSON's business", post, mapsPath, "a: b: c", []string{asYAML}},
		{"protobuf that is cut off", post, mapsPath, "k8s\x00\xff\xff\xff", []string{asProtobuf}},
		{"protobuf without its first bytes", post, mapsPath, "\x0a\x00", []string{asProtobuf}},
		{"protobuf that is JSON", post, mapsPath, mapNamed("a", ""), []string{asProtobuf}},
		{"an unknown field, strictly", post, mapsPath + "?fieldValidation=Strict", mapNamed("a", `,"nothing":1`), []string{asJSON}},
		{"a doubled field, strictly", post, mapsPath + "?fieldValidation=Strict", mapNamed("a", `,"data":{"a":"1","a":"2"}`),
			[]string{asJSON}},
		{"a doubled key in YAML, strictly", post, mapsPath + "?fieldValidation=Strict",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: b\n  a: c\n", []string{asYAML}},
		{"an unknown and a doubled field, with warnings", post, mapsPath + "?fieldValidation=Warn&fieldManager=me",
			mapNamed("warned", `,"nothing":1,"data":{"a":"1","a":"2"}`), []string{asJSON}},
		{"an unknown field, ignored", post, mapsPath + "?fieldValidation=Ignore", mapNamed("ignored", `,"nothing":1`), []string{asJSON}},
		{"an unknown validation", post, mapsPath + "?fieldValidation=Maybe", mapNamed("a", ""), []string{asJSON}},
		{"a body over 3 MiB", post, mapsPath, tooLong, []string{asJSON}},
		{"a body over 3 MiB for an update", put, therePath, tooLong, []string{asJSON}},
		{"an update in text", put, therePath, mapNamed("there", ""), []string{asText}},
	}
}

func badTypes() []request {
	return []request{
		{"a body in text", post, mapsPath, mapNamed("a", ""), []string{asText}},
		{"a patch in JSON", patch, therePath, "{}", []string{asJSON}},
		{"a patch without a content type", patch, therePath, "{}", nil},
		{"a list in HTML", get, mapsPath, "", []string{"Accept: text/html"}},
		{"an object in XML", get, therePath, "", []string{"Accept: application/xml"}},
		{"a watch in HTML", get, mapsPath + "?watch=1", "", []string{"Accept: text/html"}},
		{"a table of an unknown version", get, mapsPath, "", []string{"Accept: application/json;as=Table;v=v9;g=meta.k8s.io"}},
		{"a view that is none", get, mapsPath, "", []string{"Accept: application/json;as=Picture;v=v1;g=meta.k8s.io"}},
		{"an unknown type with an alternative", get, mapsPath + "/nobody", "", []string{"Accept: text/html, */*;q=0.1"}},
		{"an error in YAML", get, mapsPath + "/nobody", "", []string{"Accept: application/yaml"}},
		{"an error for people", get, mapsPath + "/nobody?pretty=true", "", nil},
	}
}

func badPaths() []request {
	return []request{
		{"an unknown resource", get, "/api/v1/nothings", "", nil},
		{"an unknown resource in a namespace", post, "/api/v1/namespaces/default/nothings", "{}", []string{asJSON}},
		{"an unknown version", get, "/api/v9/pods", "", nil},
		{"an unknown version of a group", get, "/apis/apps/v9/deployments", "", nil},
		{"an unknown group", get, "/apis/none.example.org/v1/things", "", nil},
		{"an unknown subresource", get, therePath + "/nothing", "", nil},
		{"a subresource of a subresource", get, podsPath + "/x/status/more", "", nil},
		{"an unknown path", get, "/nothing/at/all", "", nil},
		{"a namespaced object without its namespace", get, "/api/v1/configmaps/there", "", nil},
		{"an object of the cluster in a namespace", get, "/api/v1/namespaces/default/nodes", "", nil},
		{"an object that is not there", get, mapsPath + "/nobody", "", nil},
		{"an object of a group that is not there", get, "/apis/apps/v1/namespaces/default/deployments/nobody", "", nil},
		{"a name with a slash", get, mapsPath + "/a%2Fb", "", nil},
		{"a slash too many", get, "/api/v1//pods", "", nil},
		{"a slash at the end", get, "/api/v1/namespaces/kube-public/pods/", "", nil},
	}
}

func badMethods() []request {
	return []request{
		{"creating at a name", post, therePath, mapNamed("there", ""), []string{asJSON}},
		{"updating a collection", put, mapsPath, mapNamed("there", ""), []string{asJSON}},
		{"creating in all namespaces", post, "/api/v1/configmaps", mapNamed("a", ""), []string{asJSON}},
		{"deleting in all namespaces", del, "/api/v1/configmaps", "", nil},
		{"creating a status", post, podsPath + "/x/status", "{}", []string{asJSON}},
		{"reading a binding", get, podsPath + "/x/binding", "", nil},
		{"reading a question", get, "/apis/authorization.k8s.io/v1/subjectaccessreviews", "", nil},
		{"reading a finalize", get, "/api/v1/namespaces/default/finalize", "", nil},
		{"a method nobody knows", "BREW", mapsPath, "", nil},
		{"OPTIONS", http.MethodOptions, mapsPath, "", nil},
		{"HEAD", http.MethodHead, therePath, "", nil},
		{"a method by another name", post, therePath, "{}", []string{asJSON, "X-HTTP-Method-Override: DELETE"}},
	}
}

func badOptions() []request {
	const more = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0"
	return []request{
		{"a label selector that does not end", get, mapsPath + "?labelSelector=a%20in", "", nil},
		{"a field selector without a value", get, mapsPath + "?fieldSelector=a", "", nil},
		{"a field that cannot be selected by", get, "/api/v1/pods?fieldSelector=spec.colour%3Dred", "", nil},
		{"a field no kind can be selected by", get, mapsPath + "?fieldSelector=data.a%3Db", "", nil},
		{"a limit that is no number", get, mapsPath + "?limit=x", "", nil},
		{"a continue token that is none", get, mapsPath + "?continue=garbage", "", nil},
		{"a continue token with a resource version", get, mapsPath + "?continue=" + more + "&resourceVersion=5", "", nil},
		{"a list at a resource version that is none", get, mapsPath + "?resourceVersion=x", "", nil},
		{"a match without a resource version", get, mapsPath + "?resourceVersionMatch=Exact", "", nil},
		{"an unknown match", get, mapsPath + "?resourceVersionMatch=Maybe&resourceVersion=1", "", nil},
		{"exactly any resource version", get, mapsPath + "?resourceVersionMatch=Exact&resourceVersion=0", "", nil},
		{"a list from the future", get, mapsPath + "?resourceVersion=99999999", "", nil},
		{"an object from the future", get, therePath + "?resourceVersion=99999999", "", nil},
		{"a watch from a resource version that is none", get, mapsPath + "?watch=1&resourceVersion=x", "", nil},
		{"initial events without a match", get, mapsPath + "?watch=1&sendInitialEvents=true", "", nil},
		{"initial events of a list", get, mapsPath + "?sendInitialEvents=true&resourceVersionMatch=NotOlderThan", "", nil},
		{"a watch with a match", get, mapsPath + "?watch=1&resourceVersionMatch=NotOlderThan&resourceVersion=1", "", nil},
		{"a timeout that is none", get, mapsPath + "?timeout=x", "", nil},
		{"half a dry run", post, mapsPath + "?dryRun=Some", mapNamed("a", ""), []string{asJSON}},
		{"a field manager with too long a name", post, mapsPath + "?fieldManager=" + strings.Repeat("x", 200), mapNamed("a", ""),
			[]string{asJSON}},
	}
}

func badObjects() []request {
	return []request{
		{"an update of an old version", put, therePath, `{"metadata":{"name":"there","resourceVersion":"1"}}`, []string{asJSON}},
		{"an update of a version that is none", put, therePath, `{"metadata":{"name":"there","resourceVersion":"x"}}`, []string{asJSON}},
		{"an update under another name", put, therePath, mapNamed("other", ""), []string{asJSON}},
		{"an update of another object of that name", put, therePath, `{"metadata":{"name":"there","uid":"x"}}`, []string{asJSON}},
		{"an update of what is not there", put, mapsPath + "/nobody", `{"metadata":{"name":"nobody","resourceVersion":"1"}}`,
			[]string{asJSON}},
		{"an update of a pod that is not there", put, podsPath + "/nobody",
			`{"metadata":{"name":"nobody"},"spec":{"containers":[{"name":"a","image":"a"}]}}`, []string{asJSON}},
		{"a new object with a resource version", post, mapsPath, `{"metadata":{"name":"a","resourceVersion":"1"}}`, []string{asJSON}},
		{"a new object without a name", post, mapsPath, `{"metadata":{}}`, []string{asJSON}},
		{"a new object of another namespace", post, mapsPath, `{"metadata":{"name":"a","namespace":"kube-system"}}`, []string{asJSON}},
		{"a new object in a namespace that is not there", post, "/api/v1/namespaces/nowhere/configmaps", mapNamed("a", ""),
			[]string{asJSON}},
		{"a pod with several mistakes", post, podsPath, `{"metadata":{"name":"A_B"},"spec":{"containers":[]}}`, []string{asJSON}},
		{"a service with an address out of range", post, "/api/v1/namespaces/default/services",
			`{"metadata":{"name":"a"},"spec":{"clusterIP":"192.0.2.1","ports":[{"port":80}]}}`, []string{asJSON}},
		{"a service with a port out of range", post, "/api/v1/namespaces/default/services",
			`{"metadata":{"name":"a"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":80}]}}`, []string{asJSON}},
		{"a service with an address that is taken", post, "/api/v1/namespaces/default/services",
			`{"metadata":{"name":"a"},"spec":{"clusterIP":"10.96.0.1","ports":[{"port":80}]}}`, []string{asJSON}},
	}
}

func badPatches(tooLong string) []request {
	return []request{
		{"a patch over 3 MiB", patch, therePath, tooLong, []string{asMerge}},
		{"a JSON patch that is no list", patch, therePath, `{"op":"add"}`, []string{asJSONPatch}},
		{"a JSON patch with an unknown operation", patch, therePath, `[{"op":"frob","path":"/a"}]`, []string{asJSONPatch}},
		{"a JSON patch whose test fails", patch, therePath, `[{"op":"test","path":"/data/a","value":"b"}]`, []string{asJSONPatch}},
		{"a merge patch that is no JSON", patch, therePath, "hello", []string{asMerge}},
		{"a merge patch that is a list", patch, therePath, "[]", []string{asMerge}},
		{"a merge patch with a field of another type", patch, therePath, `{"data":7}`, []string{asMerge}},
		{"a merge patch with an unknown field, strictly", patch, therePath + "?fieldValidation=Strict", `{"nothing":7}`, []string{asMerge}},
		{"a strategic patch that ends too early", patch, therePath, "{", []string{asStrategic}},
		{"a strategic patch with an unknown directive", patch, therePath, `{"data":{"$patch":"frob"}}`, []string{asStrategic}},
		{"applying without a manager", patch, therePath, mapNamed("there", ""), []string{asApply}},
		{"applying what is no YAML", patch, therePath + "?fieldManager=m", "a: [", []string{asApply}},
		{"applying an unknown field", patch, therePath + "?fieldManager=m", mapNamed("there", `,"nothing":1`), []string{asApply}},
		{"applying another kind", patch, therePath + "?fieldManager=m", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"there"}}`,
			[]string{asApply}},
		{"force without apply", patch, therePath + "?force=true", "{}", []string{asMerge}},
		{"a patch of what is not there", patch, mapsPath + "/nobody", "{}", []string{asMerge}},
		{"a patch of an old version", patch, therePath, `{"metadata":{"resourceVersion":"1"},"data":{"a":"b"}}`, []string{asMerge}},
	}
}

func badDeletes() []request {
	return []request{
		{"deleting what is not there", del, mapsPath + "/nobody", "", nil},
		{"deleting with the options of another kind", del, therePath, `{"apiVersion":"v1","kind":"Pod"}`, []string{asJSON}},
		{"deleting with options that are no JSON", del, therePath, "hello", []string{asJSON}},
		{"deleting another object of that name", del, therePath, `{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"x"}}`,
			[]string{asJSON}},
		{"deleting an old version", del, therePath, `{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"resourceVersion":"1"}}`,
			[]string{asJSON}},
		{"an unknown propagation", del, therePath + "?propagationPolicy=Sideways", "", nil},
		{"two propagations", del, therePath + "?propagationPolicy=Orphan&orphanDependents=true", "", nil},
		{"a negative grace period", del, therePath + "?gracePeriodSeconds=x", "", nil},
		{"deleting what must stay", del, "/api/v1/namespaces/kube-system", "", nil},
	}
}

func badSubresources() []request {
	return []request{
		{"a token for nobody", post, "/api/v1/namespaces/default/serviceaccounts/nobody/token",
			`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"audiences":[]}}`, []string{asJSON}},
		{"evicting nobody", post, podsPath + "/nobody/eviction",
			`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"nobody"}}`, []string{asJSON}},
		{"binding nobody", post, podsPath + "/nobody/binding",
			`{"apiVersion":"v1","kind":"Binding","metadata":{"name":"nobody"},"target":{"name":"n"}}`, []string{asJSON}},
		{"the scale of nothing", get, "/apis/apps/v1/namespaces/default/deployments/nobody/scale", "", nil},
		{"the log of nobody", get, podsPath + "/nobody/log", "", nil},
		{"a command in nobody", post, podsPath + "/nobody/exec?command=ls", "", nil},
		{"a proxy to nothing", get, "/api/v1/namespaces/default/services/nobody/proxy/", "", nil},
	}
}

// goodAnswers are such whose form is easily got wrong.
func goodAnswers() []request {
	return []request{
		{"an empty list", get, "/api/v1/namespaces/default/secrets", "", nil},
		{"an empty list for people", get, "/api/v1/namespaces/default/secrets?pretty=1", "", nil},
		{"an empty list in YAML", get, "/api/v1/namespaces/default/secrets", "", []string{"Accept: application/yaml"}},
		{"an empty table", get, "/api/v1/namespaces/default/secrets", "", []string{"Accept: application/json;as=Table;v=v1;g=meta.k8s.io"}},
		{"metadata only", get, therePath, "", []string{"Accept: application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}},
		{"a list of metadata only", get, mapsPath + "?labelSelector=none", "",
			[]string{"Accept: application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}},
		{"a dry run", post, mapsPath + "?dryRun=All&fieldManager=me", mapNamed("dry", `,"data":{"a":"b"}`), []string{asJSON}},
		{"what a dry run did not do", get, mapsPath + "/dry", "", nil},
		{"a merge patch that changes nothing", patch, therePath, "{}", []string{asMerge}},
		{"applying to what is there", patch, therePath + "?fieldManager=m", mapNamed("there", `,"data":{"a":"b"}`), []string{asApply}},
		{"applying what another has set otherwise", patch, therePath + "?fieldManager=n", mapNamed("there", `,"data":{"a":"c"}`),
			[]string{asApply}},
		{"deleting an object", del, mapsPath + "/kindless", "", nil},
		{"deleting a pod answers the pod", post, podsPath + "?fieldManager=me",
			`{"metadata":{"name":"p"},"spec":{"containers":[{"name":"a","image":"a"}]}}`, []string{asJSON}},
		{"deleting with grace", del, podsPath + "/p?gracePeriodSeconds=0", "", nil},
		{"deleting a collection", del, mapsPath + "?labelSelector=none", "", nil},
		{"the old path of a watch", get, "/api/v1/watch/namespaces/default/configmaps/there?timeoutSeconds=1", "", nil},
	}
}
