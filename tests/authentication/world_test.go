package authentication

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
	"gopkg.in/go-jose/go-jose.v2"
	"gopkg.in/go-jose/go-jose.v2/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"gatehouse/tests/harness"
)

// patience bounds every wait for something that must come.
const patience = time.Minute

// world is a server, and files of users that it was told of.
type world struct {
	*harness.Server
	dir    string
	client *kubernetes.Clientset
	roots  *x509.CertPool
	// sources counts the addresses that requests came from; each is one of its own, for failures are counted by address.
	sources atomic.Int32
}

// file is the path of a file in the world's directory.
func file(dir, name string) string { return filepath.Join(dir, name) }

// start runs a server with flags. Files that they name are in dir.
func start(t *testing.T, dir string, flags ...string) *world {
	t.Helper()
	w := &world{Server: harness.Start(t, harness.Options{Flags: flags}), dir: dir}
	config := w.ClientConfig()
	var err error
	if w.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(config.CAData)
	return w
}

// credentials are what a client says of itself.
type credentials struct {
	certificate *tls.Certificate
	header      http.Header
}

func bearer(token string) credentials {
	return credentials{header: http.Header{"Authorization": {"Bearer " + token}}}
}

func basic(user, password string) credentials {
	return credentials{header: http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}}}
}

func certified(certificate *tls.Certificate, header ...string) credentials {
	c := credentials{certificate: certificate, header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		c.header.Add(header[i], header[i+1])
	}
	return c
}

// from is an address of this machine that nothing else comes from.
func (w *world) from() string {
	n := w.sources.Add(1)
	return fmt.Sprintf("127.1.%d.%d", n>>8, n&0xff)
}

// answer is a response, read to its end.
type answer struct {
	code   int
	header http.Header
	body   string
}

// ask sends a request from an address of its own.
func (w *world) ask(t *testing.T, who credentials, method, path, body string) answer {
	t.Helper()
	return w.askFrom(t, w.from(), who, method, path, body)
}

// askFrom sends a request from an address. The client shows its certificate whatever authorities the server names.
func (w *world) askFrom(t *testing.T, address string, who credentials, method, path, body string) answer {
	t.Helper()
	config := &tls.Config{RootCAs: w.roots, ServerName: "localhost"}
	if who.certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return who.certificate, nil }
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DialContext: dialer.DialContext}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "https://"+w.Process().Address()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, values := range who.header {
		request.Header[name] = values
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

// reviewPath and selfReview ask the server who asks.
const (
	reviewPath = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	selfReview = `{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`
)

var errNotYet = errors.New("not yet")

// whoami is whom the server takes a client for, nil for nobody.
func (w *world) whoami(t *testing.T, who credentials) *authenticationv1.UserInfo {
	t.Helper()
	return user(t, w.ask(t, who, http.MethodPost, reviewPath, selfReview))
}

func user(t *testing.T, a answer) *authenticationv1.UserInfo {
	t.Helper()
	if a.code == http.StatusUnauthorized {
		return nil
	}
	if a.code != http.StatusCreated {
		t.Fatalf("the server answers %d: %s", a.code, a.body)
	}
	var review authenticationv1.SelfSubjectReview
	if err := json.Unmarshal([]byte(a.body), &review); err != nil {
		t.Fatal(err)
	}
	return &review.Status.UserInfo
}

// eventually waits until try returns nil.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := harness.Poll(ctx, try); err != nil {
		t.Fatal(err)
	}
}

// account makes a service account.
func (w *world) account(t *testing.T, name string) *corev1.ServiceAccount {
	t.Helper()
	made, err := w.client.CoreV1().ServiceAccounts("default").Create(t.Context(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// token asks for a token of a service account in the namespace default.
func (w *world) token(t *testing.T, account string, spec authenticationv1.TokenRequestSpec) string {
	t.Helper()
	return w.tokenIn(t, "default", account, spec)
}

// tokenIn asks for a token of a service account in any namespace.
func (w *world) tokenIn(t *testing.T, namespace, account string, spec authenticationv1.TokenRequestSpec) string {
	t.Helper()
	review, err := w.client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account,
		&authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.Token
}

// signed is a token with claims, signed by key; the id of a key that is not there is no obstacle.
func signed(t *testing.T, key any, algorithm jose.SignatureAlgorithm, claims any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// claims are those of a token.
func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var read map[string]any
	if err := json.Unmarshal(payload, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

func hashed(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}
