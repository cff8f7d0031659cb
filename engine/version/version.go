// Package version says which gatehouse this is and which Kubernetes it speaks.
//
// Upstream asks k8s.io/component-base/version for the same, but its values can only be set by linker flags, which nobody
// who types `go run .` or `go install` passes; without them it answers "v0.0.0-master+$Format:%H$". What hangs on it:
//
//   - The effective version, and with it every feature gate and the lifecycle of every API version, falls back to
//     component-base's constant DefaultKubeBinaryVersion when the linker set nothing. A test holds that to Kubernetes.
//   - EffectiveVersion.Info, which kube-apiserver's /version answers with, is wrong: serve Info instead.
//   - client-go's default user agent carries "$Format": give every rest.Config UserAgent.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"

	apiversion "k8s.io/apimachinery/pkg/version"
)

const (
	// Kubernetes is the release whose kinds, defaults, validation and API versions this server has. It is the version of
	// module k8s.io/kubernetes in go.mod, and what /version reports as gitVersion, which clients parse.
	Kubernetes = "v1.37.2"

	major = "1"
	minor = "37"
	// minCompatibilityMinor is the oldest minor version that this one can be rolled back to: upstream's default, one less.
	minCompatibilityMinor = "36"
)

// Info is what the /version endpoint answers: Kubernetes' version, emulation and compatibility as kube-apiserver of that
// release reports them, and the commit, date and compiler of this build.
func Info() apiversion.Info {
	build := ReadBuild()
	return apiversion.Info{
		Major:                 major,
		Minor:                 minor,
		EmulationMajor:        major,
		EmulationMinor:        minor,
		MinCompatibilityMajor: major,
		MinCompatibilityMinor: minCompatibilityMinor,
		GitVersion:            Kubernetes,
		GitCommit:             build.Commit,
		GitTreeState:          build.treeState(),
		BuildDate:             build.Date,
		GoVersion:             runtime.Version(),
		Compiler:              runtime.Compiler,
		Platform:              runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// Build is what the Go tool chain recorded about this binary.
type Build struct {
	// Version is gatehouse's own version, such as "v0.3.1"; "(devel)" when it was not built from a tagged version.
	Version string
	// Commit is the revision of the source, empty when it was built outside of a repository or as a test.
	Commit string
	// Modified is true when the tree held changes that Commit does not have.
	Modified bool
	// Date is when Commit was made, in RFC 3339; the Unix epoch when that is unknown, as upstream has it.
	Date string
}

// ReadBuild reads this binary's Build.
func ReadBuild() Build {
	build := Build{Version: "(devel)", Date: "1970-01-01T00:00:00Z"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build
	}
	return build.with(info)
}

func (b Build) with(info *debug.BuildInfo) Build {
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		case "vcs.time":
			b.Date = setting.Value
		}
	}
	return b
}

func (b Build) treeState() string {
	switch {
	case b.Commit == "":
		return ""
	case b.Modified:
		return "dirty"
	default:
		return "clean"
	}
}

// String is one line for people: version, commit if known, Go and platform.
func (b Build) String() string {
	commit := ""
	if b.Commit != "" {
		commit = fmt.Sprintf("commit %.12s of %s, ", b.Commit, b.Date)
	}
	return fmt.Sprintf("gatehouse %s (%s%s %s/%s)", b.Version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// UserAgent is how component names itself to a server: "gatehouse/v1.37.2 (linux/amd64) component".
func UserAgent(component string) string {
	return fmt.Sprintf("gatehouse/%s (%s/%s) %s", Kubernetes, runtime.GOOS, runtime.GOARCH, component)
}
