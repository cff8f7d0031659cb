package nodes

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"gatehouse/tests/kubelet"
)

func TestLogsAreThoseOfTheContainer(t *testing.T) {
	w := newWorld(t)
	k := w.node("edge", kubelet.Options{})
	w.pod("web", "edge", "app")
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	k.Log.PrintAt(at, "long ago")
	k.Log.Print("one")
	k.Log.Print("two")
	for _, test := range []struct {
		name string
		args []string
		want outcome
	}{
		{"all", nil, outcome{stdout: "long ago\none\ntwo\n"}},
		{"the last", []string{"--tail=1"}, outcome{stdout: "two\n"}},
		{"the recent", []string{"--since=10m"}, outcome{stdout: "one\ntwo\n"}},
		{"so many bytes", []string{"--limit-bytes=5"}, outcome{stdout: "long "}},
		{"with times", []string{"--timestamps", "--limit-bytes=19"}, outcome{stdout: at.Format(time.RFC3339Nano)[:19]}},
		{"whoever shows it", []string{"--insecure-skip-tls-verify-backend", "--tail=1"}, outcome{stdout: "two\n"}},
		{"of the run before", []string{"--previous"}, outcome{"",
			`Error from server (BadRequest): previous terminated container "app" in pod "web" not found` + "\n", 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := w.run(t, nil, "", append([]string{"logs", "web"}, test.args...)...)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(outcome{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestLogsAreFollowedForAsLongAsSomebodyDoes(t *testing.T) {
	w := newWorld(t)
	k := w.node("edge", kubelet.Options{})
	w.pod("web", "edge", "app")
	k.Log.Print("first")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := w.client.CoreV1().Pods("default").GetLogs("web", &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"first", "second", "third"} {
		if line != "first" {
			k.Log.Print(line)
		}
		got := make([]byte, len(line)+1)
		if _, err := io.ReadFull(stream, got); err != nil || string(got) != line+"\n" {
			t.Fatalf("got %q, %v, want %s", got, err, line)
		}
	}
	cancel()
	w.eventually(func() error {
		if n := k.Log.Following(); n != 0 {
			return fmt.Errorf("%d requests follow a log that nobody reads any more", n)
		}
		return nil
	})
}

// TestLogsThatNobodyReadsEndWithTheServer leaves more unread than all buffers on the way take.
func TestLogsThatNobodyReadsEndWithTheServer(t *testing.T) {
	w := newWorld(t, "--shutdown-drain-timeout=1h") // or what hangs would be cut off in the end
	k := w.node("edge", kubelet.Options{})
	w.pod("web", "edge", "app")
	line := strings.Repeat("x", 1<<20)
	for range 64 {
		k.Log.Print(line)
	}
	stream, err := w.client.CoreV1().Pods("default").GetLogs("web", &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if _, err := io.ReadFull(stream, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	w.server.Stop()
	w.eventually(func() error {
		if n := k.Log.Following(); n != 0 {
			return fmt.Errorf("%d requests follow the log of a server that has ended", n)
		}
		return nil
	})
}

func TestKubeletsAreVerifiedWhereThereIsAnAuthority(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubelets.crt")
	stranger := kubelet.Start(t, kubelet.Options{Authority: someAuthority(t)})
	if err := os.WriteFile(file, stranger.Authority, 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, "--kubelets-ca-file="+file)
	k := w.node("edge", kubelet.Options{})
	w.pod("web", "edge", "app")
	k.Log.Print("hello")
	logs := func(options corev1.PodLogOptions) (string, error) {
		got, err := w.client.CoreV1().Pods("default").GetLogs("web", &options).DoRaw(t.Context())
		return string(got), err
	}

	response, body := w.answer(t, http.MethodGet, "/api/v1/namespaces/default/pods/web/log", false)
	refused(t, response, body, http.StatusInternalServerError, "tls: failed to verify certificate: x509: certificate signed by unknown authority")
	if got := w.run(t, nil, "", "exec", "web", "--", "true"); got.code != 1 || !strings.Contains(got.stderr, "x509: certificate signed by unknown authority") {
		t.Errorf("exec: %+v", got)
	}
	if got, err := logs(corev1.PodLogOptions{InsecureSkipTLSVerifyBackend: true}); got != "hello\n" || err != nil {
		t.Errorf("for somebody who does not care: %q, %v", got, err)
	}

	// The file changes, and with it who is trusted.
	if err := os.WriteFile(file, k.Authority, 0o600); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		got, err := logs(corev1.PodLogOptions{})
		if err != nil {
			return err
		}
		if got != "hello\n" {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
	if got := w.run(t, nil, "", "exec", "web", "--", "true"); got.code != 0 {
		t.Errorf("exec on a kubelet that is trusted: %+v", got)
	}
}
