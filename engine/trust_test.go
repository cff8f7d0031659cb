package engine

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"gatehouse/engine/pki"
)

func TestOtherServersAreToldWhomToTrust(t *testing.T) {
	clients, proxies := otherAuthority(t), otherAuthority(t)
	for _, test := range []struct {
		name           string
		proxies, names []string
		wantNames      string
	}{
		{name: "the server itself where there are no proxies", wantNames: `["front-proxy-client"]`},
		{"and proxies of some names", []string{proxies}, []string{"front-proxy"}, `["front-proxy-client","front-proxy"]`},
		{"and proxies of any name", []string{proxies}, nil, `[]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := testConfig(t, t.TempDir())
			config.Authentication.ClientCAFiles = []string{clients}
			config.Authentication.RequestHeader.CAFiles = test.proxies
			config.Authentication.RequestHeader.AllowedNames = test.names
			r := serve(t, config)
			authorities := string(r.pki.FrontProxyCAPEM())
			for _, file := range test.proxies {
				authorities += readText(t, file)
			}
			checkPublished(t, r, map[string]string{
				"client-ca-file":                     string(r.pki.CAPEM()) + readText(t, clients),
				"requestheader-client-ca-file":       authorities,
				"requestheader-allowed-names":        test.wantNames,
				"requestheader-username-headers":     `["X-Remote-User"]`,
				"requestheader-uid-headers":          `["X-Remote-Uid"]`,
				"requestheader-group-headers":        `["X-Remote-Group"]`,
				"requestheader-extra-headers-prefix": `["X-Remote-Extra-"]`,
			})
		})
	}
}

// checkPublished wants what is published to be so, and to be published again when somebody deletes it.
func checkPublished(t *testing.T, r *running, want map[string]string) {
	t.Helper()
	configMaps := r.client(t).CoreV1().ConfigMaps(metav1.NamespaceSystem)
	const name = "extension-apiserver-authentication"
	published := func() *corev1.ConfigMap {
		t.Helper()
		var found *corev1.ConfigMap
		err := wait.PollUntilContextCancel(t.Context(), 5*time.Millisecond, true, func(ctx context.Context) (_ bool, err error) {
			found, err = configMaps.Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return false, nil
			}
			return err == nil, err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	first := published()
	if diff := cmp.Diff(want, first.Data); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	if err := configMaps.Delete(t.Context(), name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &first.UID}}); err != nil {
		t.Fatal(err)
	}
	if again := published(); again.UID == first.UID || !cmp.Equal(again.Data, first.Data) {
		t.Errorf("what was published again differs: %v", again.Data)
	}
}

// otherAuthority is the file of an authority that is not the server's.
func otherAuthority(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := pki.Ensure(pki.Request{DataDir: dir}); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "pki", "ca.crt")
}

func readText(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
