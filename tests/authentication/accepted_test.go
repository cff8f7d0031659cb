package authentication

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/go-jose/go-jose.v2"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// users is a server with every way in but those that need another server.
type users struct {
	*world
	other, proxies, stranger authority
	robot                    *corev1.ServiceAccount
}

func newUsers(t *testing.T) *users {
	t.Helper()
	dir := t.TempDir()
	u := &users{other: newAuthority(t, "other"), proxies: newAuthority(t, "proxies"), stranger: newAuthority(t, "stranger")}
	write(t, file(dir, "other.crt"), string(u.other.pem()))
	write(t, file(dir, "proxies.crt"), string(u.proxies.pem()))
	write(t, file(dir, "tokens.csv"), "# tokens\n\nlisted-token,ann,17,\"dev,ops\"\nshort-token bob\ntwice,cat,1\ntwice,dan,2\n,eve,3\n")
	write(t, file(dir, "passwords"), "jane:plain:text\n"+base64.StdEncoding.EncodeToString([]byte("joe:encoded"))+"\n"+
		"kim:"+hashed(t, "hashed")+"\ncolumned,lee,18,\"dev,ops\"\nmax:one\nmax:two\nnil:\n")
	u.world = start(t, dir,
		"--authentication-client-ca-files", file(dir, "other.crt"),
		"--authentication-request-header-ca-files", file(dir, "proxies.crt"),
		"--authentication-request-header-allowed-names", "front",
		"--authentication-token-files", file(dir, "tokens.csv"),
		"--authentication-password-files", file(dir, "passwords"),
		"--authentication-bootstrap-tokens",
	)
	u.robot = u.account(t, "robot")
	return u
}

// secret makes a Secret.
func (u *users) secret(t *testing.T, namespace string, secret corev1.Secret) {
	t.Helper()
	if _, err := u.client.CoreV1().Secrets(namespace).Create(t.Context(), &secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// podToken is a token that ends with a pod, which is on a node.
func (u *users) podToken(t *testing.T, pod, node string) string {
	t.Helper()
	if _, err := u.client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	made, err := u.client.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: pod},
		Spec: corev1.PodSpec{NodeName: node, ServiceAccountName: "robot",
			Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return u.token(t, "robot", authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod, UID: made.UID},
	})
}

func (u *users) bootstrapToken(t *testing.T, id string, expires time.Time) string {
	t.Helper()
	u.secret(t, metav1.NamespaceSystem, corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id},
		Type:       corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{
			"token-id": id, "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
			"expiration": expires.Format(time.RFC3339), "auth-extra-groups": "system:bootstrappers:test",
		},
	})
	return id + ".0123456789abcdef"
}

// legacyToken is one of the old kind, that stands in a Secret, whose name it claims to be claimed.
func (u *users) legacyToken(t *testing.T, secret string) string {
	t.Helper()
	token := signed(t, loadKey(t, file(u.DataDir(), "pki/service-account/0001.key")), jose.ES256, map[string]any{
		"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:default:robot",
		"kubernetes.io/serviceaccount/namespace":            "default",
		"kubernetes.io/serviceaccount/secret.name":          secret,
		"kubernetes.io/serviceaccount/service-account.name": "robot",
		"kubernetes.io/serviceaccount/service-account.uid":  string(u.robot.UID),
	})
	u.secret(t, "default", corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secret, Annotations: map[string]string{
			corev1.ServiceAccountNameKey: "robot", corev1.ServiceAccountUIDKey: string(u.robot.UID),
		}},
		Type:       corev1.SecretTypeServiceAccountToken,
		StringData: map[string]string{"token": token},
	})
	return token
}

// TestEachWayInLetsInWhoItIs asks the server who a client is, and looks at what metrics say of it.
func TestEachWayInLetsInWhoItIs(t *testing.T) {
	u := newUsers(t)
	own := loadAuthority(t, file(u.DataDir(), "pki/ca.crt"), file(u.DataDir(), "pki/ca.key"))
	withUID := named("ida")
	withUID.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57683, 2}, Value: "uid-of-ida"}}
	proxy := u.proxies.client(t, named("front"))
	token := u.token(t, "robot", authenticationv1.TokenRequestSpec{})
	robotGroups := []string{"system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"}
	for _, test := range []struct {
		name   string
		who    credentials
		want   authenticationv1.UserInfo
		extras []string // names of what else is known
		member string
	}{
		{name: "a certificate of the server's own authority", who: certified(own.client(t, named("jane", "dev", "ops"))),
			want:   authenticationv1.UserInfo{Username: "jane", Groups: []string{"dev", "ops", "system:authenticated"}},
			extras: []string{"authentication.kubernetes.io/credential-id"}, member: "clientCertificate"},
		{name: "a certificate of another authority in a file", who: certified(u.other.client(t, named("joe"))),
			want:   authenticationv1.UserInfo{Username: "joe", Groups: []string{"system:authenticated"}},
			extras: []string{"authentication.kubernetes.io/credential-id"}, member: "clientCertificate"},
		{name: "a certificate with a UID", who: certified(own.client(t, withUID)),
			want:   authenticationv1.UserInfo{Username: "ida", UID: "uid-of-ida", Groups: []string{"system:authenticated"}},
			extras: []string{"authentication.kubernetes.io/credential-id"}, member: "clientCertificate"},
		{name: "a token of a file", who: bearer("listed-token"),
			want: authenticationv1.UserInfo{Username: "ann", UID: "17", Groups: []string{"dev", "ops", "system:authenticated"}}, member: "tokenFile"},
		{name: "a token of a file in the short form", who: bearer("short-token"),
			want: authenticationv1.UserInfo{Username: "bob", Groups: []string{"system:authenticated"}}, member: "tokenFile"},
		{name: "a password", who: basic("jane", "plain:text"),
			want: authenticationv1.UserInfo{Username: "jane", Groups: []string{"system:authenticated"}}, member: "password"},
		{name: "a password in base64", who: basic("joe", "encoded"),
			want: authenticationv1.UserInfo{Username: "joe", Groups: []string{"system:authenticated"}}, member: "password"},
		{name: "a password of which the file has a hash", who: basic("kim", "hashed"),
			want: authenticationv1.UserInfo{Username: "kim", Groups: []string{"system:authenticated"}}, member: "password"},
		{name: "a password in columns", who: basic("lee", "columned"),
			want: authenticationv1.UserInfo{Username: "lee", UID: "18", Groups: []string{"dev", "ops", "system:authenticated"}}, member: "password"},
		{name: "a service account's token", who: bearer(token),
			want:   authenticationv1.UserInfo{Username: "system:serviceaccount:default:robot", UID: string(u.robot.UID), Groups: robotGroups},
			extras: []string{"authentication.kubernetes.io/credential-id"}, member: "serviceAccount"},
		{name: "a service account's token on a websocket", who: credentials{header: http.Header{
			"Connection": {"upgrade"}, "Upgrade": {"websocket"},
			"Sec-Websocket-Protocol": {"base64url.bearer.authorization.k8s.io." + base64.RawURLEncoding.EncodeToString([]byte(token)) + ",base64.channel.k8s.io"},
		}}, member: "serviceAccount"},
		{name: "a service account's token of the old kind", who: bearer(u.legacyToken(t, "old")),
			want:   authenticationv1.UserInfo{Username: "system:serviceaccount:default:robot", UID: string(u.robot.UID), Groups: robotGroups},
			member: "serviceAccount"},
		{name: "a token bound to a pod on a node", who: bearer(u.podToken(t, "web", "edge")),
			want: authenticationv1.UserInfo{Username: "system:serviceaccount:default:robot", UID: string(u.robot.UID), Groups: robotGroups},
			extras: []string{"authentication.kubernetes.io/credential-id", "authentication.kubernetes.io/pod-name",
				"authentication.kubernetes.io/pod-uid", "authentication.kubernetes.io/node-name", "authentication.kubernetes.io/node-uid"},
			member: "serviceAccount"},
		{name: "a bootstrap token", who: bearer(u.bootstrapToken(t, "abcdef", time.Now().Add(time.Hour))),
			want: authenticationv1.UserInfo{Username: "system:bootstrap:abcdef",
				Groups: []string{"system:bootstrappers", "system:bootstrappers:test", "system:authenticated"}}, member: "bootstrapToken"},
		{name: "a proxy that names a user", who: certified(proxy, "X-Remote-User", "pam", "X-Remote-Uid", "19",
			"X-Remote-Group", "dev", "X-Remote-Group", "ops", "X-Remote-Extra-Scopes", "view"),
			want:   authenticationv1.UserInfo{Username: "pam", UID: "19", Groups: []string{"dev", "ops", "system:authenticated"}},
			extras: []string{"scopes"}, member: "requestHeader"},
		{name: "a certificate, and a token that is none", who: credentials{certificate: own.client(t, named("jane")), header: bearer("nonsense").header},
			want:   authenticationv1.UserInfo{Username: "jane", Groups: []string{"system:authenticated"}},
			extras: []string{"authentication.kubernetes.io/credential-id"}, member: "clientCertificate"},
		{name: "a certificate, and headers of which only proxies' count",
			who:    certified(own.client(t, named("jane")), "X-Remote-User", "admin", "X-Remote-Group", "system:masters"),
			want:   authenticationv1.UserInfo{Username: "jane", Groups: []string{"system:authenticated"}},
			extras: []string{"authentication.kubernetes.io/credential-id"}, member: "clientCertificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := u.attempts(t, test.member, "accepted")
			if test.who.header.Get("Upgrade") != "" {
				if got := u.upgrade(t, test.who.header); got != http.StatusForbidden {
					t.Errorf("the server answers %d, want 403: it knows who asks", got)
				}
			} else {
				got := u.whoami(t, test.who)
				if got == nil {
					t.Fatal("nobody is let in")
				}
				for _, name := range test.extras {
					if len(got.Extra[name]) == 0 {
						t.Errorf("extra %s is missing: %v", name, got.Extra)
					}
				}
				got.Extra = nil
				if diff := cmp.Diff(test.want, *got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
			if after := u.attempts(t, test.member, "accepted"); after <= before {
				t.Errorf("accepted by %s: %d before, %d after", test.member, before, after)
			}
		})
	}
}

// upgrade asks for a websocket, and returns what the server says.
func (w *world) upgrade(t *testing.T, header http.Header) int {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: w.tlsConfig()}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		"https://"+w.Process().Address()+"/api/v1/namespaces/default/pods/none/exec?command=true&stdout=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header.Clone()
	request.Header.Set("Sec-Websocket-Version", "13")
	request.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// attempts is what metrics say of a member's results.
func (w *world) attempts(t *testing.T, member, result string) (count int) {
	t.Helper()
	metrics, err := w.client.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	prefix := fmt.Sprintf("gatehouse_authentication_attempts_total{member=%q,result=%q} ", member, result)
	for line := range strings.Lines(string(metrics)) {
		if text, ok := strings.CutPrefix(line, prefix); ok {
			if _, err := fmt.Sscan(text, &count); err != nil {
				t.Fatal(err)
			}
		}
	}
	return count
}

// A client that has several certificates sends the one whose authority the server names.
func TestTheServerNamesTheAuthoritiesOfFilesToo(t *testing.T) {
	u := newUsers(t)
	var named [][]byte
	config := u.tlsConfig()
	connection := dialTLS(t, u.Process().Address(), config, &named)
	defer connection.Close()
	for _, authority := range []authority{u.other, u.proxies, loadAuthority(t, file(u.DataDir(), "pki/ca.crt"), file(u.DataDir(), "pki/ca.key"))} {
		if !containsBytes(named, authority.certificate.RawSubject) {
			t.Errorf("the server does not name %s", authority.certificate.Subject)
		}
	}
	if containsBytes(named, u.stranger.certificate.RawSubject) {
		t.Error("the server names an authority that it does not know")
	}
}
