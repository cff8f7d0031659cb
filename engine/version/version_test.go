package version

import (
	"os"
	"regexp"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/util/compatibility"
)

func TestKubernetesIsTheVersionThatGoModRequires(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\S+)`).FindSubmatch(mod)
	if match == nil {
		t.Fatal("go.mod requires no k8s.io/kubernetes")
	}
	if got := string(match[1]); got != Kubernetes {
		t.Errorf("go.mod requires k8s.io/kubernetes %s, but version.Kubernetes is %s", got, Kubernetes)
	}
}

// Feature gates and API lifecycles come from upstream's effective version, which a build without linker flags takes from
// a constant. Were it another minor version, /version would lie about what is served.
func TestUpstreamsEffectiveVersionAgreesWithInfo(t *testing.T) {
	effective := compatibility.DefaultBuildEffectiveVersion()
	upstream := effective.Info()
	type versions struct{ Major, Minor, EmulationMajor, EmulationMinor, CompatMajor, CompatMinor string }
	of := func(i apiversion.Info) versions {
		return versions{i.Major, i.Minor, i.EmulationMajor, i.EmulationMinor, i.MinCompatibilityMajor, i.MinCompatibilityMinor}
	}
	if diff := cmp.Diff(of(*upstream), of(Info())); diff != "" {
		t.Errorf("Info differs from upstream's effective version (-upstream +ours):\n%s", diff)
	}
	release, err := utilversion.ParseSemantic(Info().GitVersion)
	if err != nil {
		t.Fatalf("gitVersion cannot be parsed by clients: %v", err)
	}
	if release.Major() != effective.BinaryVersion().Major() || release.Minor() != effective.BinaryVersion().Minor() {
		t.Errorf("gitVersion is %s, but upstream's binary version is %s", release, effective.BinaryVersion())
	}
}

func TestBuildTakesWhatTheToolChainRecorded(t *testing.T) {
	settings := []debug.BuildSetting{
		{Key: "vcs", Value: "git"},
		{Key: "vcs.revision", Value: "0123456789abcdef0123"},
		{Key: "vcs.time", Value: "2026-11-23T12:00:00Z"},
	}
	modified := append(settings[:3:3], debug.BuildSetting{Key: "vcs.modified", Value: "true"})
	for name, test := range map[string]struct {
		info      debug.BuildInfo
		want      Build
		treeState string
	}{
		"a build outside of a repository keeps what was there": {
			want: Build{Version: "(devel)"},
		},
		"a clean build of a tag": {
			info:      debug.BuildInfo{Main: debug.Module{Version: "v0.3.1"}, Settings: settings},
			want:      Build{Version: "v0.3.1", Commit: "0123456789abcdef0123", Date: "2026-11-23T12:00:00Z"},
			treeState: "clean",
		},
		"a build with local changes": {
			info:      debug.BuildInfo{Settings: modified},
			want:      Build{Version: "(devel)", Commit: "0123456789abcdef0123", Date: "2026-11-23T12:00:00Z", Modified: true},
			treeState: "dirty",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Build{Version: "(devel)"}.with(&test.info)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.treeState() != test.treeState {
				t.Errorf("tree state %q, want %q", got.treeState(), test.treeState)
			}
		})
	}
}
