package conformance

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

const (
	// methodsFile holds what kube-apiserver answers to every method on every path of its API.
	methodsFile = "testdata/methods.golden"
	// methodsCase is what deviations call it; their steps are "PATH METHOD".
	methodsCase = "methods"
	summaryMark = ": "
)

// otherGroups come to gatehouse in a later step, or are its own.
var otherGroups = []string{"apiextensions.k8s.io", "apiregistration.k8s.io", "plugins.gatehouse.dev"}

func TestEveryMethodOnEveryPathIsAnsweredAlike(t *testing.T) {
	server := startServer(t)
	c := newClient(t, server)
	vars := variables{"ns": "case-methods"}
	if err := makeNamespace(t.Context(), c, vars); err != nil {
		t.Fatal(err)
	}
	n := newNormaliser(c.port(), "")
	answers := map[string]string{}
	for _, path := range apiPaths(t, server.ClientConfig()) {
		for _, s := range everyMethod(path) {
			a, err := c.send(t.Context(), s, vars)
			if err != nil {
				t.Fatalf("%s %s: %v", s.method, s.path, err)
			}
			answers[path+" "+s.method] = n.text(a.summary())
		}
	}
	if *record {
		writeSummaries(t, answers)
		return
	}
	deviations, err := readDeviations()
	if err != nil {
		t.Fatal(err)
	}
	expected := readSummaries(t, deviations[methodsCase])
	if diff := cmp.Diff(expected, answers); diff != "" {
		t.Errorf("kube-apiserver (-), gatehouse (+):\n%s", diff)
	}
}

// writeSummaries records answers, one a line.
func writeSummaries(t *testing.T, answers map[string]string) {
	var lines strings.Builder
	for _, asked := range slices.Sorted(maps.Keys(answers)) {
		lines.WriteString(asked + summaryMark + answers[asked] + "\n")
	}
	if err := os.WriteFile(methodsFile, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// readSummaries reads what kube-apiserver answered, and changes it by the known deviations, all of which must be there.
func readSummaries(t *testing.T, deviations []deviation) map[string]string {
	text, err := os.ReadFile(methodsFile)
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]string{}
	needed := make([]bool, len(deviations))
	for line := range strings.Lines(string(text)) {
		asked, answer, found := strings.Cut(strings.TrimSuffix(line, "\n"), summaryMark)
		if !found {
			t.Fatalf("%s: %q is no answer", methodsFile, line)
		}
		expected, used := apply(deviations, asked, answer)
		for _, i := range used {
			needed[i] = true
		}
		answers[asked] = expected
	}
	reportUnneeded(t, deviations, needed)
	return answers
}

// apiPaths are the paths of all resources that the server tells of: of collections, in all namespaces too, and of an object
// that does not exist, with its subresources.
func apiPaths(t *testing.T, config *rest.Config) []string {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := client.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(otherGroups, gv.Group) {
			continue
		}
		for _, resource := range list.APIResources {
			paths = append(paths, resourcePaths(gv, resource)...)
		}
	}
	slices.Sort(paths)
	return paths
}

func resourcePaths(gv schema.GroupVersion, resource v1.APIResource) []string {
	root := "/apis/" + gv.String()
	if gv.Group == "" {
		root = "/api/" + gv.Version
	}
	inside := root
	if resource.Namespaced {
		inside += "/namespaces/{{ns}}"
	}
	if name, subresource, found := strings.Cut(resource.Name, "/"); found {
		return []string{inside + "/" + name + "/nobody/" + subresource}
	}
	paths := []string{inside + "/" + resource.Name, inside + "/" + resource.Name + "/nobody"}
	if resource.Namespaced {
		paths = append(paths, root+"/"+resource.Name)
	}
	return paths
}

// everyMethod are requests of all methods for a path, that would change nothing if they could.
func everyMethod(path string) []step {
	steps := []step{}
	for _, method := range []string{
		http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
	} {
		s := step{method: method, path: path + "?dryRun=All", header: http.Header{}}
		switch method {
		case http.MethodPost, http.MethodPut:
			s.body = "{}"
		case http.MethodPatch:
			s.body = "{}"
			s.header.Set("Content-Type", "application/merge-patch+json")
		}
		steps = append(steps, s)
	}
	return steps
}

// summary is the answer in a line: what it is if that is an object, and why not if it is none.
func (a *answer) summary() string {
	line := fmt.Sprintf("%d %s", a.status, a.header.Get("Content-Type"))
	if len(a.documents) == 0 {
		return line + " " + strings.TrimSpace(a.text)
	}
	object, _ := a.documents[0].(map[string]any)
	if object["kind"] != "Status" {
		return fmt.Sprintf("%s %v %v", line, object["apiVersion"], object["kind"])
	}
	return fmt.Sprintf("%s %v %v", line, object["reason"], object["message"])
}
