package crash

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"gatehouse/tests/harness"
)

// TestKilledWhileSettingUp kills first starts as soon as each of the files they make is there. The next start must make do with
// what it finds.
func TestKilledWhileSettingUp(t *testing.T) {
	made := []string{
		"lock", "pki", "pki/ca.crt", "pki/front-proxy", "pki/service-account", "pki/serving.pem", "pki/kubelet-client.pem", "admin.kubeconfig",
		"gatehouse.db", "gatehouse.db-wal",
	}
	for _, file := range made {
		t.Run("when it has made "+file, func(t *testing.T) {
			options := harness.Options{DataDir: filepath.Join(t.TempDir(), "data")}
			process, err := harness.Launch(t.Context(), options)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err = harness.Poll(ctx, func() error {
				_, err := os.Stat(filepath.Join(options.DataDir, filepath.FromSlash(file)))
				return err
			})
			if killed := process.Kill(); err != nil || killed != nil {
				t.Fatal(err, killed)
			}
			client, err := kubernetes.NewForConfig(harness.Start(t, options).ClientConfig())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(t.Context(), object("a", "b"), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}
