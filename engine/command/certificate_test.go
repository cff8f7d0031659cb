package command

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// newRequest makes a certificate request for a user, and its key.
func newRequest(t testing.TB, user string) (requestPEM []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: user}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), key
}

// certify makes a certificate that is good enough for whoever does not verify it.
func certify(t testing.TB, user string, key *ecdsa.PrivateKey, until time.Time) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: user}, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// fakeDesk is an API server that keeps one CertificateSigningRequest, and decides about it when it is asked after.
type fakeDesk struct {
	object *certificatesv1.CertificateSigningRequest
	decide func(object *certificatesv1.CertificateSigningRequest) *apierrors.StatusError
}

func (d *fakeDesk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const collection = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
	resource := schema.GroupResource{Group: "certificates.k8s.io", Resource: "certificatesigningrequests"}
	switch {
	case r.Method == http.MethodPost && r.URL.Path == collection && d.object == nil:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client sees that there is no answer
		}
		d.object = new(certificatesv1.CertificateSigningRequest)
		if err := runtime.DecodeInto(scheme.Codecs.UniversalDeserializer(), body, d.object); err != nil {
			refuse(w, apierrors.NewBadRequest(err.Error()))
			return
		}
		answer(w, http.StatusCreated, d.object)
	case r.Method == http.MethodPost && r.URL.Path == collection:
		refuse(w, apierrors.NewAlreadyExists(resource, d.object.Name))
	case r.Method == http.MethodGet && d.object != nil && r.URL.Path == path.Join(collection, d.object.Name):
		if d.decide != nil {
			if err := d.decide(d.object); err != nil {
				refuse(w, err)
				return
			}
		}
		answer(w, http.StatusOK, d.object)
	default:
		refuse(w, apierrors.NewNotFound(resource, path.Base(r.URL.Path)))
	}
}

func refuse(w http.ResponseWriter, err *apierrors.StatusError) {
	answer(w, int(err.ErrStatus.Code), new(err.Status()))
}

func answer(w http.ResponseWriter, status int, object runtime.Object) {
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	w.WriteHeader(status)
	codec := scheme.Codecs.LegacyCodec(certificatesv1.SchemeGroupVersion, schema.GroupVersion{Version: "v1"})
	_ = codec.Encode(object, w) // a client that is gone needs no answer
}

// desk is a server that decides, a kubeconfig that leads to it, and a request in a file.
type desk struct {
	*fakeDesk
	dir, kubeconfig, file string
	key                   *ecdsa.PrivateKey
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{fakeDesk: &fakeDesk{}, dir: t.TempDir()}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters["c"] = &clientcmdapi.Cluster{Server: server.URL}
	kubeconfig.Contexts["c"] = &clientcmdapi.Context{Cluster: "c"}
	kubeconfig.CurrentContext = "c"
	d.kubeconfig = filepath.Join(d.dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*kubeconfig, d.kubeconfig); err != nil {
		t.Fatal(err)
	}
	text, key := newRequest(t, "jane")
	d.key, d.file = key, filepath.Join(d.dir, "jane.csr")
	if err := os.WriteFile(d.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) request(t *testing.T, args ...string) result {
	t.Helper()
	return gatehouse(t, append([]string{"certificate", "request", d.file, "--kubeconfig", d.kubeconfig}, args...)...)
}

func TestCertificateRequestAsksForWhatItIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want certificatesv1.CertificateSigningRequestSpec
	}{
		"by default a client's": {nil, certificatesv1.CertificateSigningRequestSpec{
			SignerName: "kubernetes.io/kube-apiserver-client", Usages: []certificatesv1.KeyUsage{"client auth", "digital signature"},
		}},
		"a kubelet's to serve with": {[]string{"--signer", "kubernetes.io/kubelet-serving"}, certificatesv1.CertificateSigningRequestSpec{
			SignerName: "kubernetes.io/kubelet-serving", Usages: []certificatesv1.KeyUsage{"digital signature", "server auth"},
		}},
		"of another's signer, for a time": {
			[]string{"--signer", "example.org/mesh", "--usages", "server auth, client auth,server auth", "--expiration", "24h"},
			certificatesv1.CertificateSigningRequestSpec{
				SignerName: "example.org/mesh", Usages: []certificatesv1.KeyUsage{"client auth", "server auth"},
				ExpirationSeconds: new(int32),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			certificate := certify(t, "jane", d.key, time.Now().Add(time.Hour))
			d.decide = func(object *certificatesv1.CertificateSigningRequest) *apierrors.StatusError {
				object.Status.Certificate = certificate
				return nil
			}
			got := d.request(t, test.args...)
			got.want(t, exitOK, "-----BEGIN CERTIFICATE-----", "")
			if test.want.ExpirationSeconds != nil {
				*test.want.ExpirationSeconds = 24 * 60 * 60
			}
			var err error
			if test.want.Request, err = os.ReadFile(d.file); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, d.object.Spec); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if !strings.HasPrefix(d.object.Name, "jane-") {
				t.Errorf("the request is called %s", d.object.Name)
			}
			if again := d.request(t, test.args...); again != got {
				t.Errorf("asked again, it answers\n%v\nwant the same:\n%v", again, got)
			}
		})
	}
}

// decision is what the server makes of a request when it is asked after it.
type decision func(d *desk, object *certificatesv1.CertificateSigningRequest) *apierrors.StatusError

func noDecision(*desk, *certificatesv1.CertificateSigningRequest) *apierrors.StatusError { return nil }

func conditioned(of certificatesv1.RequestConditionType, reason, message string) decision {
	return func(_ *desk, object *certificatesv1.CertificateSigningRequest) *apierrors.StatusError {
		object.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: of, Reason: reason, Message: message}}
		return nil
	}
}

func signedWith(certificate func(*desk) []byte) decision {
	return func(d *desk, object *certificatesv1.CertificateSigningRequest) *apierrors.StatusError {
		object.Status.Certificate = certificate(d)
		return nil
	}
}

func refusedWith(err *apierrors.StatusError) decision {
	return func(*desk, *certificatesv1.CertificateSigningRequest) *apierrors.StatusError { return err }
}

func TestCertificateRequestSaysWhatBecameOfIt(t *testing.T) {
	resource := schema.GroupResource{Group: "certificates.k8s.io", Resource: "certificatesigningrequests"}
	_, otherKey := newRequest(t, "jane")
	later, earlier := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	for name, test := range map[string]struct {
		args   []string
		decide decision
		stderr string
	}{
		"nothing yet": {[]string{"--timeout=1ms"}, noDecision,
			"gatehouse: no certificate for request a yet: it is not approved; have somebody who may run `kubectl certificate approve a`; " +
				"then run the command again, which goes on from there\n"},
		"approved, with nobody who signs": {[]string{"--signer=example.org/a", "--usages=client auth", "--timeout=2s"},
			conditioned(certificatesv1.CertificateApproved, "", ""),
			"no certificate for request a yet: it was approved, but signer example.org/a has not signed it; see that what signs for it runs"},
		"denied for a reason": {nil,
			conditioned(certificatesv1.CertificateDenied, "KubectlDeny", "This CSR was denied by kubectl certificate deny."),
			"gatehouse: request a was denied (KubectlDeny: This CSR was denied by kubectl certificate deny); " +
				"to ask again, delete it with `kubectl delete csr a`, or choose another name with --name\n"},
		"denied for none": {nil, conditioned(certificatesv1.CertificateDenied, "", ""), "gatehouse: request a was denied; to ask again"},
		"refused by the signer": {nil, conditioned(certificatesv1.CertificateFailed, "SignerValidationFailure", "bad usage"),
			"request a was approved, but signer kubernetes.io/kube-apiserver-client refused it (SignerValidationFailure: bad usage); to ask"},
		"signed for another key": {nil, signedWith(func(*desk) []byte { return certify(t, "jane", otherKey, later) }),
			"gatehouse: the signer's certificate is for another key than that of the request\n"},
		"signed long ago": {nil, signedWith(func(d *desk) []byte { return certify(t, "jane", d.key, earlier) }),
			"gatehouse: the certificate was issued some time ago and expired on "},
		"signed with nonsense": {nil, signedWith(func(*desk) []byte { return []byte("nonsense") }),
			"gatehouse: the signer's answer is no certificate: "},
		"deleted": {nil, refusedWith(apierrors.NewNotFound(resource, "a")),
			"request a is gone: somebody deleted it before there was a certificate; run the command again to ask anew\n"},
		"not to be looked at": {nil, refusedWith(apierrors.NewForbidden(resource, "a", nil)),
			"gatehouse: cannot ask after request a: certificatesigningrequests.certificates.k8s.io \"a\" is forbidden"},
		"a server in trouble": {[]string{"--timeout=2s"}, refusedWith(apierrors.NewInternalError(context.DeadlineExceeded)),
			" cannot be reached: Internal error occurred: context deadline exceeded; then run the command again"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.decide = func(object *certificatesv1.CertificateSigningRequest) *apierrors.StatusError {
				return test.decide(d, object)
			}
			saved := filepath.Join(d.dir, "jane.crt")
			d.request(t, append(test.args, "--name", "a", "--save-to", saved)...).want(t, exitFailed, "", test.stderr)
			if _, err := os.Stat(saved); err == nil {
				t.Error("a file was saved all the same")
			}
		})
	}
}

func TestCertificateRequestReplacesNothingUnlessForced(t *testing.T) {
	d := newDesk(t)
	asked := false
	d.decide = func(object *certificatesv1.CertificateSigningRequest) *apierrors.StatusError {
		asked = true
		object.Status.Certificate = certify(t, "jane", d.key, time.Now().Add(time.Hour))
		return nil
	}
	saved := filepath.Join(d.dir, "jane.crt")
	if err := os.WriteFile(saved, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.request(t, "--save-to", saved).want(t, exitFailed, "", saved+" exists; --force replaces it, and --save-to can name another file\n")
	d.request(t, "--save-to", d.dir).want(t, exitFailed, "", d.dir+" is a directory; name a file in it\n")
	d.request(t, "--save-to", saved+"/x").want(t, exitFailed, "", "cannot save the certificate: ")
	d.request(t, "--save-to", d.dir+"/nowhere/x").want(t, exitFailed, "", "/nowhere: no such file or directory\n")
	if asked {
		t.Error("a certificate was asked for that could not be saved")
	}
	d.request(t, "--save-to", saved, "--force").want(t, exitOK, "saved the certificate of CN=jane in "+saved+"; it is valid until ", "")
	if content, err := os.ReadFile(saved); err != nil || !bytes.HasPrefix(content, []byte("-----BEGIN CERTIFICATE-----")) {
		t.Errorf("saved %q: %v", content, err)
	}
	if err := saveCertificate(saved, []byte("late"), false); err == nil || !strings.Contains(err.Error(), "exists; --force replaces it") {
		t.Errorf("saving what came to be there meanwhile: %v", err)
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("left %v: %v", entries, err)
	}
}

func TestCertificateRequestIsNotTakenForAnother(t *testing.T) {
	d := newDesk(t)
	d.request(t, "--name", "a", "--timeout", "1ms").want(t, exitFailed, "", "no certificate for request a yet")
	d.request(t, "--name", "a", "--expiration", "1h").want(t, exitFailed, "",
		"gatehouse: there is a request a that asks for something else; choose another name with --name\n")
}

func TestCertificateRequestFindsTheServerByItsKubeconfig(t *testing.T) {
	d := newDesk(t)
	d.decide = func(object *certificatesv1.CertificateSigningRequest) *apierrors.StatusError {
		object.Status.Certificate = certify(t, "jane", d.key, time.Now().Add(time.Hour))
		return nil
	}
	empty := filepath.Join(d.dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		variable string
		args     []string
		code     int
		stderr   string
	}{
		"of the variable":             {d.kubeconfig, nil, exitOK, ""},
		"of the variable's list":      {filepath.Join(d.dir, "none") + ":" + d.kubeconfig, nil, exitOK, ""},
		"of the flag first":           {empty, []string{"--kubeconfig", d.kubeconfig}, exitOK, ""},
		"of the data directory":       {"", []string{"--data-dir", d.dir}, exitFailed, "there is no " + d.dir + "/admin.kubeconfig; start the server with"},
		"of the named data directory": {d.kubeconfig, []string{"--data-dir", d.dir}, exitFailed, "there is no " + d.dir + "/admin.kubeconfig"},
		"which is empty":              {empty, nil, exitFailed, "kubeconfig " + empty + " is not there or empty; name another with --kubeconfig\n"},
		"which is not there":          {"", []string{"--kubeconfig", d.dir + "/none"}, exitFailed, "cannot read kubeconfig " + d.dir + "/none: "},
		"which is none":               {"", []string{"--kubeconfig", d.file}, exitFailed, "cannot read kubeconfig " + d.file + ": "},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			program := Program{
				Args:    append([]string{"certificate", "request", d.file}, test.args...),
				Environ: []string{"KUBECONFIG=" + test.variable},
				Stdout:  &stdout, Stderr: &stderr,
			}
			code := program.Run(t.Context())
			want := ""
			if test.code == exitOK {
				want = "-----BEGIN CERTIFICATE-----"
			}
			result{code, stdout.String(), stderr.String()}.want(t, test.code, want, test.stderr)
		})
	}
}

func TestCertificateRequestsThatCannotBeUsedAreExplained(t *testing.T) {
	good, key := newRequest(t, "jane")
	block, _ := pem.Decode(good)
	forged := bytes.Clone(block.Bytes)
	forged[len(forged)-1] ^= 1
	encode := func(of string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: of, Bytes: der}) }
	for name, test := range map[string]struct {
		content []byte
		want    string // empty if it can be used
	}{
		"as openssl makes it":      {good, ""},
		"as older tools make it":   {encode("NEW CERTIFICATE REQUEST", block.Bytes), ""},
		"in DER":                   {block.Bytes, ""},
		"after other things":       {append([]byte("Certificate Request:\n    Data:\n"), append(encode("EC PARAMETERS", nil), good...)...), ""},
		"an empty file":            {nil, "is empty"},
		"a text":                   {[]byte("hello\n"), "holds no certificate request that can be read ("},
		"half a request":           {encode("CERTIFICATE REQUEST", block.Bytes[:20]), "holds no certificate request that can be read ("},
		"a certificate":            {certify(t, "jane", key, time.Now()), "holds no certificate request, but certificate"},
		"a key":                    {encode("EC PRIVATE KEY", []byte("x")), "holds no certificate request, but ec private key"},
		"changed after signing":    {encode("CERTIFICATE REQUEST", forged), "holds a certificate request that was changed after its key had signed it ("},
		"larger than requests are": {bytes.Repeat([]byte("x"), maxRequestSize+2), "is larger than any certificate request"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "a.csr")
			if err := os.WriteFile(file, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			request, err := readRequest(file)
			switch {
			case test.want == "" && err != nil:
				t.Fatal(err)
			case test.want == "" && !bytes.Equal(request.pem, good):
				t.Errorf("sends\n%s\nwant\n%s", request.pem, good)
			case test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), file+" "+test.want)):
				t.Errorf("error is %v, want %s %s", err, file, test.want)
			}
		})
	}
	if _, err := readRequest(filepath.Join(t.TempDir(), "none")); err == nil || !strings.HasPrefix(err.Error(), "cannot read the certificate request: ") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestCertificateRequestFlagsThatCannotBeUsedExitWithTwo(t *testing.T) {
	for name, test := range map[string]struct {
		args   []string
		stderr string
	}{
		"another's signer without usages": {[]string{"--signer", "example.org/a"}, "say with --usages what certificates of signer example.org/a are for"},
		"a certificate that ends at once": {[]string{"--expiration", "1ms"}, "--expiration is 1ms, want a duration from 10m, such as 24h"},
		"a certificate of the past":       {[]string{"--expiration", "-1h"}, "--expiration is -1h0m0s, want a duration from 10m"},
		"a certificate for ever":          {[]string{"--expiration", "2000000h"}, "want a duration from 10m"},
		"no time to wait":                 {[]string{"--timeout", "0s"}, "--timeout is 0s, want a duration such as 5m"},
	} {
		t.Run(name, func(t *testing.T) { newDesk(t).request(t, test.args...).want(t, exitUsage, "", test.stderr) })
	}
	gatehouse(t, "certificate", "request").want(t, exitUsage, "",
		"certificate request takes FILE; see `gatehouse help certificate request`\n")
	gatehouse(t, "certificate", "request", "a", "b").want(t, exitUsage, "", `certificate request takes FILE, but there is "b" besides`)
}

func TestNamesOfRequestsAreValidAndOfWhatIsAskedFor(t *testing.T) {
	for user, prefix := range map[string]string{
		"jane": "jane-", "Jane.Doe@example.org": "jane-doe-example-org-", "system:node:edge-1": "system-node-edge-1-", "": "csr-", "日本": "csr-",
		strings.Repeat("x", 200): strings.Repeat("x", maxSubjectLength) + "-",
	} {
		text, _ := newRequest(t, user)
		request, err := parseRequest(text)
		if err != nil {
			t.Fatal(err)
		}
		name := requestName(request, "signer", "usages")
		if !strings.HasPrefix(name, prefix) || len(name) != len(prefix)+nameHashLength {
			t.Errorf("the request of %q is called %s, want %s and a hash", user, name, prefix)
		}
		if messages := validation.IsDNS1123Subdomain(name); messages != nil {
			t.Errorf("%s: %v", name, messages)
		}
		if again := requestName(request, "signer", "usages"); again != name {
			t.Errorf("the same is called %s and %s", name, again)
		}
		if other := requestName(request, "signer", "usages of another kind"); other == name {
			t.Errorf("different things are both called %s", name)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	good, key := newRequest(f, "jane")
	block, _ := pem.Decode(good)
	f.Add(good)
	f.Add(block.Bytes)
	f.Add(certify(f, "jane", key, time.Now()))
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		request, err := parseRequest(content)
		if err != nil {
			return
		}
		if messages := validation.IsDNS1123Subdomain(requestName(request)); messages != nil {
			t.Errorf("%s: %v", requestName(request), messages)
		}
		again, err := parseRequest(request.pem)
		if err != nil || !bytes.Equal(again.Raw, request.Raw) {
			t.Errorf("what is sent cannot be read as what was read: %v", err)
		}
	})
}
