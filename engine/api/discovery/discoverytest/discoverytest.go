// Package discoverytest holds what a real kube-apiserver tells in discovery, for tests to compare with. The documents come
// with module k8s.io/kubernetes; they were made with every API and every alpha feature turned on.
package discoverytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/engine/api/discovery"
)

// File reads one of the published documents, such as "apis__apps__v1.json", into object.
func File(t testing.TB, name string, object any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir(t), name))
	if err != nil {
		t.Fatalf("read upstream's discovery document: %v", err)
	}
	if err := json.Unmarshal(content, object); err != nil {
		t.Fatalf("parse upstream's discovery document %s: %v", name, err)
	}
}

func dir(t testing.TB) string {
	t.Helper()
	dir, err := findDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// findDir finds, once, where the module cache has the documents.
var findDir = sync.OnceValues(func() (string, error) {
	output, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("find module k8s.io/kubernetes: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(output)), "api", "discovery"), nil
})

// Published returns every published group version, in the order of the groups and versions in /apis after the core group,
// with its resources sorted by name.
func Published(t testing.TB) []discovery.GroupVersion {
	t.Helper()
	var groups metav1.APIGroupList
	File(t, "apis.json", &groups)
	versions := []discovery.GroupVersion{published(t, schema.GroupVersion{Version: "v1"}, "api__v1.json")}
	for _, group := range groups.Groups {
		for _, version := range group.Versions {
			gv := schema.GroupVersion{Group: group.Name, Version: version.Version}
			versions = append(versions, published(t, gv, "apis__"+gv.Group+"__"+gv.Version+".json"))
		}
	}
	return versions
}

func published(t testing.TB, gv schema.GroupVersion, file string) discovery.GroupVersion {
	t.Helper()
	var list metav1.APIResourceList
	File(t, file, &list)
	return discovery.GroupVersion{GroupVersion: gv, Resources: list.APIResources}
}

// Default returns what kube-apiserver serves by default, but for the groups named: of the published group versions the
// stable ones. They have the same resources there, whatever is turned on, which was seen by asking a kube-apiserver of
// v1.37.2 without flags.
func Default(t testing.TB, exceptGroups ...string) []discovery.GroupVersion {
	t.Helper()
	stable := regexp.MustCompile(`^v[0-9]+$`)
	return slices.DeleteFunc(Published(t), func(version discovery.GroupVersion) bool {
		return !stable.MatchString(version.Version) || slices.Contains(exceptGroups, version.Group)
	})
}

// Aggregated returns the aggregated document at /apis, with only the group versions given.
func Aggregated(t testing.TB, versions []discovery.GroupVersion) *apidiscoveryv2.APIGroupDiscoveryList {
	t.Helper()
	list := &apidiscoveryv2.APIGroupDiscoveryList{}
	File(t, "aggregated_v2.json", list)
	served := map[schema.GroupVersion]bool{}
	for _, version := range versions {
		served[version.GroupVersion] = true
	}
	for i := range list.Items {
		group := &list.Items[i]
		group.Versions = slices.DeleteFunc(group.Versions, func(version apidiscoveryv2.APIVersionDiscovery) bool {
			return !served[schema.GroupVersion{Group: group.Name, Version: version.Version}]
		})
	}
	list.Items = slices.DeleteFunc(list.Items, func(group apidiscoveryv2.APIGroupDiscovery) bool {
		return len(group.Versions) == 0
	})
	return list
}

// Diff tells how the group versions got differ from those wanted, "" if they are the same. The order of the group versions
// does not count, that of the resources of each does, and so does all that a resource tells of itself.
func Diff(want, got []discovery.GroupVersion) string {
	return cmp.Diff(byVersion(want), byVersion(got))
}

func byVersion(versions []discovery.GroupVersion) map[string][]metav1.APIResource {
	resources := make(map[string][]metav1.APIResource, len(versions))
	for _, version := range versions {
		resources[version.GroupVersion.String()] = version.Resources
	}
	return resources
}
