package conformance

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"gatehouse/tests/harness"
)

var (
	record  = flag.Bool("record", false, "record the answers of the real kube-apiserver instead of comparing gatehouse's with them")
	answers = flag.String("answers", "", "directory to write gatehouse's answers to, for another program to compare with "+casesDir)
)

// advertised is an address that nothing listens on, the same for both servers.
const advertised = "--advertise-address=192.0.2.1"

func TestAnswersAreThoseOfKubeAPIServer(t *testing.T) {
	cases, err := readCases()
	if err != nil {
		t.Fatal(err)
	}
	deviations, err := readDeviations()
	if err != nil {
		t.Fatal(err)
	}
	usual := newClient(t, startServer(t))
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := usual
			if tc.forgetful {
				c = newClient(t, startServer(t, forgetful))
			}
			exchanges := play(t, c, tc)
			if *record {
				write(t, tc.golden(), exchanges)
				return
			}
			if *answers != "" {
				write(t, filepath.Join(*answers, filepath.Base(tc.golden())), exchanges)
			}
			compare(t, tc, exchanges, deviations[tc.name])
		})
	}
	for name := range deviations {
		if _, err := os.Stat(filepath.Join(casesDir, name+".http")); err != nil && name != methodsCase {
			t.Errorf("%s tells of a case that is not there: %v", deviationsFile, err)
		}
	}
}

// forgetful lets a server keep the past for a moment only.
const forgetful = "--storage-compaction-retention=1s"

// startServer starts the server that is asked: gatehouse, or kube-apiserver to record it.
func startServer(t *testing.T, flags ...string) *harness.Server {
	options := harness.Options{Flags: append([]string{advertised}, flags...)}
	if *record {
		options.Binary = buildUpstream(t)
	} else {
		// As kube-apiserver was recorded: without a controller manager.
		options.Flags = append(options.Flags, "--controllers=external")
	}
	return harness.Start(t, options)
}

func newClient(t *testing.T, server *harness.Server) client {
	return client{
		http:      newHTTPClient(t, server.ClientConfig()),
		http1:     newHTTPClient(t, server.ClientConfig(), "http/1.1"),
		anonymous: newHTTPClient(t, rest.AnonymousClientConfig(server.ClientConfig())),
		base:      "https://" + server.Process().Address(),
	}
}

// newHTTPClient speaks the protocols given, or what the server likes best.
func newHTTPClient(t *testing.T, config *rest.Config, protocols ...string) *http.Client {
	config.NextProtos = protocols
	c, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func buildUpstream(t *testing.T) string {
	binary := filepath.Join(t.TempDir(), "kube-apiserver")
	stamp := "-X k8s.io/component-base/version.gitVersion=" + pinnedKubernetes(t, filepath.Join("upstream", "go.mod")) +
		" -X k8s.io/component-base/version.gitCommit=" // as a release's build sets them, but for a commit nobody compares
	command := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "-ldflags", stamp, ".")
	command.Dir = "upstream"
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build kube-apiserver: %v\n%s", err, output)
	}
	return binary
}

// pinnedKubernetes is the release of Kubernetes that a go.mod requires.
func pinnedKubernetes(t *testing.T, file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\S+)$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("%s requires no k8s.io/kubernetes", file)
	}
	return string(found[1])
}

func TestOracleIsOfTheReleaseThatGatehouseServes(t *testing.T) {
	serves := pinnedKubernetes(t, filepath.Join("..", "..", "go.mod"))
	if oracle := pinnedKubernetes(t, filepath.Join("upstream", "go.mod")); oracle != serves {
		t.Errorf("upstream/go.mod pins Kubernetes %s, gatehouse serves %s: pin the same and record anew", oracle, serves)
	}
}

// exchange is a step and how it was answered, as text.
type exchange struct{ title, request, answer string }

// play sends a case's steps in their order, in a new namespace.
func play(t *testing.T, c client, tc testCase) []exchange {
	vars := variables{"ns": tc.namespace()}
	n := newNormaliser(c.port(), tc.text)
	if err := makeNamespace(t.Context(), c, vars); err != nil {
		t.Fatal(err)
	}
	var exchanges []exchange
	for _, s := range tc.steps {
		a, err := c.sendUntil(t.Context(), s, vars)
		if err != nil {
			t.Fatalf("%s: %v", s.title, err)
		}
		for _, capture := range s.captures {
			if vars[capture.name], err = a.find(capture.path); err != nil {
				t.Fatalf("%s: %v", s.title, err)
			}
		}
		exchanges = append(exchanges, exchange{title: s.title, request: s.method + " " + s.path, answer: a.show(n)})
	}
	return exchanges
}

// makeNamespace makes a namespace that pods are let into: one with the service account that a controller may have made already.
func makeNamespace(ctx context.Context, c client, vars variables) error {
	for _, made := range []struct {
		path, body string
		allowed    []int
	}{
		{"/api/v1/namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: '{{ns}}'}}", []int{http.StatusCreated}},
		{"/api/v1/namespaces/{{ns}}/serviceaccounts", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default}}",
			[]int{http.StatusCreated, http.StatusConflict}},
	} {
		a, err := c.send(ctx, step{method: http.MethodPost, path: made.path, header: http.Header{}, body: made.body}, vars)
		if err != nil {
			return err
		}
		if !slices.Contains(made.allowed, a.status) {
			return fmt.Errorf("make %s of %s: status %d: %v", made.path, vars["ns"], a.status, a.documents)
		}
	}
	return nil
}

// golden is how the exchange stands in a golden file, but for the title mark before it.
func (e exchange) golden(answer string) string { return e.title + "\n" + e.request + "\n\n" + answer }

func write(t *testing.T, file string, exchanges []exchange) {
	var text strings.Builder
	for _, e := range exchanges {
		text.WriteString(titleMark + e.golden(e.answer) + "\n")
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// compare holds a case's answers against the recording, step by step.
func compare(t *testing.T, tc testCase, exchanges []exchange, deviations []deviation) {
	text, err := os.ReadFile(tc.golden())
	if err != nil {
		t.Fatalf("%v; record it: go test ./tests/conformance -record -run TestAnswers/%s", err, tc.name)
	}
	recorded := strings.Split(strings.TrimPrefix(strings.TrimSuffix(string(text), "\n"), titleMark), "\n"+titleMark)
	if len(recorded) != len(exchanges) {
		t.Fatalf("%s has %d answers, for %d requests; record it anew", tc.golden(), len(recorded), len(exchanges))
	}
	needed := make([]bool, len(deviations))
	for i, e := range exchanges {
		expected, used := apply(deviations, e.title, recorded[i])
		for _, i := range used {
			needed[i] = true
		}
		if diff := cmp.Diff(expected, e.golden(e.answer)); diff != "" {
			t.Errorf("%s\n%s\nkube-apiserver (-), gatehouse (+):\n%s", e.title, e.request, diff)
		}
	}
	reportUnneeded(t, deviations, needed)
}

func reportUnneeded(t *testing.T, deviations []deviation, needed []bool) {
	for i, d := range deviations {
		if !needed[i] {
			t.Errorf("no answer has the deviation %q any more (%s); take it off %s", d.Upstream, d.Reason, deviationsFile)
		}
	}
}
