package admission

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/utils/ptr"

	"gatehouse/tests/harness"
)

// configuration is an AdmissionConfiguration whose webhooks are called with the credentials of a kubeconfig.
const configuration = `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  path: pod-security.yaml
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - {resource: persistentvolumeclaims, matchContains: [requests.storage]}
- name: EventRateLimit
  configuration:
    apiVersion: eventratelimit.admission.k8s.io/v1alpha1
    kind: Configuration
    limits:
    - {type: Namespace, qps: 1, burst: 2}
- name: MutatingAdmissionWebhook
  configuration: &webhooks
    apiVersion: apiserver.config.k8s.io/v1
    kind: WebhookAdmissionConfiguration
    kubeConfigFile: %q
- name: ValidatingAdmissionWebhook
  configuration: *webhooks
`

const podSecurityConfiguration = `
apiVersion: pod-security.admission.config.k8s.io/v1
kind: PodSecurityConfiguration
defaults: {enforce: baseline, enforce-version: latest}
exemptions: {namespaces: [exempt]}
`

// TestMembersDoWhatTheirConfigurationSays is about admission.configFile, and the files that it names.
func TestMembersDoWhatTheirConfigurationSays(t *testing.T) {
	identity, known := clientIdentity(t)
	byCertificate, byToken := startHookAt(t, "127.0.0.1", "localhost", known), startHook(t)
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "webhooks.kubeconfig")
	if err := clientcmd.WriteToFile(clientcmdapi.Config{AuthInfos: map[string]*clientcmdapi.AuthInfo{
		byCertificate.Listener.Addr().String(): identity,
		byToken.Listener.Addr().String():       {Token: "sesame"},
	}}, kubeconfig); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"admission.yaml": fmt.Sprintf(configuration, kubeconfig), "pod-security.yaml": podSecurityConfiguration,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := start(t, "--admission-config-file", filepath.Join(dir, "admission.yaml"), "--admission-enable", "EventRateLimit")

	t.Run("pods are held to a level by default, but for exempt namespaces and those with a label of their own", func(t *testing.T) {
		privileged := pod("privileged", func(p *corev1.Pod) {
			p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
		})
		labelled := w.namespace(t, "labelled", map[string]string{"pod-security.kubernetes.io/enforce": "privileged"})
		mustRefuse(t, w.CoreV1().Pods("default").Create, privileged, `violates PodSecurity "baseline:latest": privileged`)
		mustMake(t, w.CoreV1().Pods(w.namespace(t, "exempt", nil)).Create, privileged)
		mustMake(t, w.CoreV1().Pods(labelled).Create, privileged)
		mustMake(t, w.CoreV1().Pods("default").Create, pod("modest", nil))
	})
	t.Run("what is limited needs a quota", func(t *testing.T) {
		ns := w.namespace(t, "limited", nil)
		mustRefuse(t, w.CoreV1().PersistentVolumeClaims(ns).Create, claim("any", ptr.To("")), "insufficient quota to consume: requests.storage")
		w.quota(t, ns, amounts("requests.storage", "1Gi"))
		mustMake(t, w.CoreV1().PersistentVolumeClaims(ns).Create, claim("one", ptr.To("")))
		mustRefuse(t, w.CoreV1().PersistentVolumeClaims(ns).Create, claim("two", ptr.To("")), "exceeded quota: few")
	})
	t.Run("events that come too fast are refused", func(t *testing.T) {
		ns := w.namespace(t, "noisy", nil)
		eventually(t, "an event is refused", func() bool {
			_, err := w.CoreV1().Events(ns).Create(t.Context(), &corev1.Event{
				ObjectMeta:     metav1.ObjectMeta{GenerateName: "e-"},
				InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: ns, Name: "p"},
			}, metav1.CreateOptions{})
			if err != nil && !apierrors.IsTooManyRequests(err) {
				t.Fatal(err)
			}
			return err != nil
		})
	})
	t.Run("webhooks know the server by its certificate or token", func(t *testing.T) {
		byCertificate.at("/patch", patching(`[{"op":"add","path":"/data","value":{"let":"in"}}]`)) // by TLS
		w.mutating(t, "certificate", byCertificate.client("/patch"), nil)
		if err := w.try(t, byCertificate, "/patch", "certificate"); err != nil {
			t.Fatal(err)
		}
		if made, err := w.write(t, "default", "certificate"); err != nil || made.Data["let"] != "in" {
			t.Errorf("data are %v, %v; want what the webhook adds", made.Data, err)
		}

		given := make(chan string, 1)
		byToken.at("/token", func(rw http.ResponseWriter, r *http.Request, asked *admissionv1.AdmissionRequest) {
			select {
			case given <- r.Header.Get("Authorization"):
			default:
			}
			respond(allow)(rw, r, asked)
		})
		w.validating(t, "token", byToken.client("/token"), nil)
		if err := w.try(t, byToken, "/token", "token"); err != nil {
			t.Fatal(err)
		}
		if got := <-given; got != "Bearer sesame" {
			t.Errorf("the webhook was given %q, want the token", got)
		}
	})
}

// TestAServerWhoseMembersRefuseTheirConfigurationDoesNotStart has mistakes that only the members themselves find, among them some that
// have no work yet.
func TestAServerWhoseMembersRefuseTheirConfigurationDoesNotStart(t *testing.T) {
	for member, test := range map[string]struct{ configuration, want string }{
		"PodSecurity": {"{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, defaults: {enforce: strict}}",
			`PodSecurity configuration error: enforce: must be one of privileged, baseline, restricted`},
		"ValidatingAdmissionWebhook": {"{apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: hooks}",
			`kubeConfigFile: Invalid value: "hooks": must be an absolute file path`},
		"ResourceQuota": {"{apiVersion: apiserver.config.k8s.io/v1, kind: ResourceQuotaConfiguration, limited: []}", `unknown field "limited"`},
	} {
		t.Run(member, func(t *testing.T) {
			path := file(t, "admission.yaml", "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"+
				"- name: "+member+"\n  configuration: "+test.configuration+"\n")
			output := failToStart(t, "--admission-config-file", path)
			for _, want := range []string{"set up admission member " + member + " as " + path + " says: ", test.want} {
				if !strings.Contains(output, want) {
					t.Errorf("the server says\n\t%s\nwant it to contain\n\t%s", output, want)
				}
			}
		})
	}
}

// failToStart runs a server that must not start, and returns what it says.
func failToStart(t *testing.T, flags ...string) string {
	t.Helper()
	process, err := harness.Launch(t.Context(), harness.Options{DataDir: filepath.Join(t.TempDir(), "data"), Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-process.Exited():
		return process.Log().String()
	case <-ctx.Done():
		_ = process.Kill() // it is to be gone; that it was there is what is told
		t.Fatalf("the server starts:\n%s", process.Log())
		return ""
	}
}

// clientIdentity makes a certificate that a kubeconfig holds, and what servers know it by.
func clientIdentity(t *testing.T) (*clientcmdapi.AuthInfo, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "gatehouse"}, key)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := cert.EncodeCertificates(certificate)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	return &clientcmdapi.AuthInfo{ClientCertificateData: chain, ClientKeyData: encoded}, certificate
}
