package engine

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// eventually tries until there is no error, for as long as the test has.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		last = try()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%v: %v", err, last)
	}
}

func TestNamespacesHaveAServiceAccountAndWhomToTrust(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	core, ctx := server.client(t).CoreV1(), t.Context()
	if _, err := core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "fresh"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"default", "kube-system", "fresh"} {
		eventually(t, func() error {
			_, err := core.ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
			return err
		})
		eventually(t, func() error {
			published, err := core.ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
			if err == nil && published.Data["ca.crt"] != string(server.pki.CAPEM()) {
				t.Errorf("%s is told to trust %q", namespace, published.Data["ca.crt"])
			}
			return err
		})
	}
	before, err := core.ServiceAccounts("fresh").Get(ctx, "default", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := core.ServiceAccounts("fresh").Delete(ctx, "default", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		after, err := core.ServiceAccounts("fresh").Get(ctx, "default", metav1.GetOptions{})
		if err == nil && after.UID == before.UID {
			t.Error("the account was not deleted")
		}
		return err
	})
}

func TestSecretsForServiceAccountsAreFilledWithTokensThatLetIn(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	core, ctx := server.client(t).CoreV1(), t.Context()
	if _, err := core.ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "robot", Annotations: map[string]string{corev1.ServiceAccountNameKey: "robot"}},
		Type:       corev1.SecretTypeServiceAccountToken,
	}
	if _, err := core.Secrets("default").Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var filled *corev1.Secret
	eventually(t, func() (err error) {
		if filled, err = core.Secrets("default").Get(ctx, "robot", metav1.GetOptions{}); err == nil && len(filled.Data[corev1.ServiceAccountTokenKey]) == 0 {
			err = context.DeadlineExceeded
		}
		return err
	})
	if diff := cmp.Diff(map[string]string{"namespace": "default", "ca.crt": string(server.pki.CAPEM())}, map[string]string{
		"namespace": string(filled.Data["namespace"]), "ca.crt": string(filled.Data["ca.crt"]),
	}); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	robot := rest.AnonymousClientConfig(server.Admin)
	robot.BearerToken = string(filled.Data[corev1.ServiceAccountTokenKey])
	client, err := kubernetes.NewForConfig(robot)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "system:serviceaccount:default:robot") {
		t.Errorf("who comes with the token is told %v", err)
	}

	if err := core.ServiceAccounts("default").Delete(ctx, "robot", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := core.Secrets("default").Get(ctx, "robot", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return context.DeadlineExceeded
	})
}
