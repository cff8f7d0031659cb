package authentication

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"gopkg.in/go-jose/go-jose.v2"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWrongCredentialsAreRefusedAndLoggedOnce sends credentials that must let nobody in. Each is answered with 401, as
// kube-apiserver does, and logged once, without what is secret in it.
func TestWrongCredentialsAreRefusedAndLoggedOnce(t *testing.T) {
	u := newUsers(t)
	own := loadAuthority(t, file(u.DataDir(), "pki/ca.crt"), file(u.DataDir(), "pki/ca.key"))
	key := loadKey(t, file(u.DataDir(), "pki/service-account/0001.key"))
	good := u.token(t, "robot", authenticationv1.TokenRequestSpec{})
	if u.whoami(t, bearer(good)) == nil {
		t.Fatal("the token that the others are made from lets nobody in")
	}
	changed := func(change func(claims map[string]any)) string {
		c := maps.Clone(claims(t, good))
		change(c)
		return signed(t, key, jose.ES256, c)
	}
	payload := strings.Split(good, ".")[1]
	without := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + payload + "."
	symmetric := signed(t, []byte(publicText(t, u)), jose.HS256, claims(t, good))
	gone := u.account(t, "gone")
	orphan := u.token(t, "gone", authenticationv1.TokenRequestSpec{})
	if err := u.client.CoreV1().ServiceAccounts("default").Delete(t.Context(), gone.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	invalidated := u.legacyToken(t, "revoked")
	if err := u.client.CoreV1().Secrets("default").Delete(t.Context(), "revoked", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	u.secret(t, "default", corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bound"}})
	ended := u.token(t, "robot", authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: "bound"},
	})
	if err := u.client.CoreV1().Secrets("default").Delete(t.Context(), "bound", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	soon := named("jane")
	soon.NotBefore, soon.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	late := named("jane")
	late.NotBefore, late.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	serving := named("jane")
	serving.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	front := u.proxies.client(t, named("front"))

	tests := []struct {
		name string
		who  credentials
		// unlogged is true where kube-apiserver takes the request for one without credentials.
		unlogged bool
	}{
		{name: "a token that has expired", who: bearer(changed(func(c map[string]any) {
			c["nbf"], c["iat"], c["exp"] = time.Now().Add(-3*time.Hour).Unix(), time.Now().Add(-3*time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
		}))},
		{name: "a token that is not valid yet", who: bearer(changed(func(c map[string]any) {
			c["nbf"], c["exp"] = time.Now().Add(time.Hour).Unix(), time.Now().Add(2*time.Hour).Unix()
		}))},
		{name: "a token for another audience", who: bearer(changed(func(c map[string]any) { c["aud"] = []string{"elsewhere"} }))},
		{name: "a token of another issuer", who: bearer(changed(func(c map[string]any) { c["iss"] = "https://elsewhere.example" }))},
		{name: "a token that is not signed", who: bearer(without)},
		{name: "a token signed with the public key as a secret", who: bearer(symmetric)},
		{name: "a token signed by another key", who: bearer(signed(t, writeKey(t, file(t.TempDir(), "key")), jose.ES256, claims(t, good)))},
		{name: "a token without its end", who: bearer(good[:len(good)-10])},
		{name: "a token without its signature", who: bearer(good[:strings.LastIndex(good, ".")+1])},
		{name: "a token with another payload", who: bearer(strings.Replace(good, payload, payload[:len(payload)-4]+"AAAA", 1))},
		{name: "a token of an account that is gone", who: bearer(orphan)},
		{name: "a token of another account of the same name", who: bearer(changed(func(c map[string]any) {
			private := maps.Clone(c["kubernetes.io"].(map[string]any))
			private["serviceaccount"] = map[string]any{"name": "robot", "uid": "another"}
			c["kubernetes.io"] = private
		}))},
		{name: "a token of the old kind whose Secret is gone", who: bearer(invalidated)},
		{name: "a token bound to a Secret that is gone", who: bearer(ended)},
		{name: "a huge token", who: bearer(good + strings.Repeat("A", 100<<10))},
		{name: "a token that is larger than any", who: bearer(strings.Repeat("A", 200<<10))},
		{name: "a token with binary in it", who: bearer("\x80\x81\xfe\xff")},
		{name: "a token that two lines claim", who: bearer("twice")},
		{name: "a bootstrap token that has expired", who: bearer(u.bootstrapToken(t, "expird", time.Now().Add(-time.Hour)))},
		{name: "a bootstrap token that does not exist", who: bearer("nobody.0123456789abcdef")},
		{name: "a wrong password", who: basic("jane", "wrong-secret")},
		{name: "a wrong password, of which the file has a hash", who: basic("kim", "wrong-secret")},
		{name: "a user that does not exist", who: basic("nobody", "wrong-secret")},
		{name: "a user that two lines name", who: basic("max", "one")},
		{name: "a user without a password", who: basic("nil", "")},
		{name: "basic credentials that are no base64", who: credentials{header: http.Header{"Authorization": {"Basic !wrong-secret"}}}},
		{name: "basic credentials without a colon", who: credentials{header: http.Header{"Authorization": {"Basic d3Jvbmctc2VjcmV0"}}}},
		{name: "two headers, of which each is good", who: credentials{header: http.Header{"Authorization": {"Bearer " + good, "Bearer " + good}}}},
		{name: "a certificate, and two headers", who: credentials{certificate: own.client(t, named("jane")),
			header: http.Header{"Authorization": {"Bearer " + good, "Bearer wrong-secret"}}}},
		{name: "a certificate, and two users to act as", who: certified(own.client(t, named("jane", "system:masters")),
			"Impersonate-User", "ann", "Impersonate-User", "root")},
		{name: "a certificate of another authority", who: certified(u.stranger.client(t, named("jane", "system:masters")))},
		{name: "a certificate of itself", who: certified(authority{}.client(t, named("jane", "system:masters")))},
		{name: "a certificate that has expired", who: certified(own.client(t, late))},
		{name: "a certificate that is not valid yet", who: certified(own.client(t, soon))},
		{name: "a certificate for servers", who: certified(own.client(t, serving))},
		{name: "a certificate without a name", who: certified(own.client(t, x509.Certificate{})), unlogged: true},
		{name: "a proxy's certificate that names nobody", who: certified(front)},
		{name: "a proxy that is not allowed", who: certified(u.proxies.client(t, named("back")), "X-Remote-User", "pam")},
		{name: "a proxy that names two users", who: certified(front, "X-Remote-User", "pam", "X-Remote-User", "admin")},
		{name: "headers of a proxy, and a certificate of another authority",
			who: certified(u.stranger.client(t, named("front")), "X-Remote-User", "pam")},
		{name: "headers of a proxy, and no certificate", who: credentials{header: http.Header{"X-Remote-User": {"pam"}}}, unlogged: true},
		{name: "an empty token", who: credentials{header: http.Header{"Authorization": {"Bearer "}}}, unlogged: true},
		{name: "a scheme that nobody knows", who: credentials{header: http.Header{"Authorization": {"Negotiate wrong-secret"}}}, unlogged: true},
		{name: "nothing at all", unlogged: true},
	}
	const logged = "Unable to authenticate the request"
	want := strings.Count(u.Process().Log().String(), logged)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := u.ask(t, test.who, http.MethodPost, reviewPath, selfReview)
			var status metav1.Status
			if err := json.Unmarshal([]byte(got.body), &status); err != nil {
				t.Fatalf("%v: %s", err, got.body)
			}
			if got.code != http.StatusUnauthorized || status.Reason != metav1.StatusReasonUnauthorized || status.Message != "Unauthorized" {
				t.Errorf("the server answers %d: %s", got.code, got.body)
			}
			if !test.unlogged {
				want++
				eventually(t, func() error {
					if got := strings.Count(u.Process().Log().String(), logged); got < want {
						return fmt.Errorf("it is logged %d times, want %d", got, want)
					}
					return nil
				})
			}
			log := u.Process().Log().String()
			if got := strings.Count(log, logged); got != want {
				t.Errorf("it is logged %d times, want %d", got, want)
			}
			for _, secret := range append(secretsOf(test.who.header), "wrong-secret", "0123456789abcdef", "plain:text") {
				if strings.Contains(log, secret) {
					t.Errorf("the log quotes %q", secret)
				}
			}
		})
	}
}

// secretsOf are what stands after the scheme in Authorization headers, and payloads and signatures of tokens.
func secretsOf(header http.Header) (secrets []string) {
	for _, value := range header["Authorization"] {
		_, secret, _ := strings.Cut(value, " ")
		for _, part := range append(strings.Split(secret, "."), secret) {
			if len(part) > 6 {
				secrets = append(secrets, part)
			}
		}
	}
	return secrets
}

// publicText is the public key that verifies tokens, as anybody can have it.
func publicText(t *testing.T, u *users) string {
	t.Helper()
	keys, err := u.client.CoreV1().RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(keys)
}

// TestAFileOfUsersThatIsWrongKeepsTheServerFromStarting shows what its owner is told, which quotes no secret.
func TestAFileOfUsersThatIsWrongKeepsTheServerFromStarting(t *testing.T) {
	for _, test := range []struct{ flag, content, want string }{
		{"--authentication-token-files", "fine joe\nhidden", `:2: it is neither token,user,uid,"group1,group2" nor token and user with a blank between`},
		{"--authentication-password-files", "fine:fine\njane:$apr1$hidden", ":2: it has a hash that is not bcrypt's; make one with `htpasswd -B`"},
		{"--authentication-client-ca-files", "no certificate", ": data does not contain any valid RSA or ECDSA certificates"},
		{"--authentication-config-file", "kind: Hidden", `: Object 'apiVersion' is missing in '`},
		{"--authentication-webhook-config-file", "clusters: []", `: invalid configuration: no configuration has been provided`},
	} {
		t.Run(test.flag, func(t *testing.T) {
			path := file(t.TempDir(), "file")
			write(t, path, test.content)
			output := failToStart(t, test.flag, path)
			if !strings.Contains(output, path+test.want) {
				t.Errorf("the server says\n\t%s\nwant\n\t%s%s", output, path, test.want)
			}
			if strings.Contains(output, "hidden") {
				t.Errorf("the server quotes a secret: %s", output)
			}
		})
	}
	t.Run("a file that is missing", func(t *testing.T) {
		path := file(t.TempDir(), "none")
		if output := failToStart(t, "--authentication-token-files", path); !strings.Contains(output, "cannot read "+path+": no such file or directory") {
			t.Errorf("the server says\n\t%s", output)
		}
	})
}

// TestAServerThatWouldBeOpenToAnybodyDoesNotStart combines what is fine by itself.
func TestAServerThatWouldBeOpenToAnybodyDoesNotStart(t *testing.T) {
	dir := t.TempDir()
	everybody := newAuthority(t, "everybody")
	write(t, file(dir, "ca.crt"), string(newAuthority(t, "proxies").pem())+string(everybody.pem()))
	write(t, file(dir, "clients.crt"), string(everybody.pem()))
	write(t, file(dir, "anonymous"), "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous: {enabled: true}\n")
	write(t, file(dir, "allow"), "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n"+
		"authorizers: [{type: AlwaysAllow, name: alwaysallow}]\n")
	const anybody = "everybody is let in without credentials, and authorized by alwaysAllow, so that anybody could do anything; say in " +
		"authentication.anonymousPaths which paths are open, or leave out alwaysAllow"
	proxies := []string{"--authentication-request-header-ca-files", file(dir, "ca.crt"), "--authentication-client-ca-files", file(dir, "clients.crt")}
	for name, test := range map[string]struct {
		flags []string
		want  string
	}{
		"no credentials, and everything allowed": {[]string{"--authentication-anonymous-paths=*", "--authorization-order=rbac,alwaysAllow"}, anybody},
		"the same, said in files": {[]string{"--authentication-config-file", file(dir, "anonymous"),
			"--authorization-config-file", file(dir, "allow")}, anybody},
		"an authority of proxies and of others": {proxies, "authentication.requestHeader.caFiles has the authority CN=everybody, whose certificates are " +
			"accepted from every client: each of them could be anybody; use an authority that signs nothing but the certificates of proxies, or say " +
			"in authentication.requestHeader.allowedNames which names are theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			if output := failToStart(t, test.flags...); !strings.Contains(output, test.want) {
				t.Errorf("the server says\n\t%s\nwant\n\t%s", output, test.want)
			}
		})
	}
	t.Run("but named proxies are told from others", func(t *testing.T) {
		start(t, dir, append(proxies, "--authentication-request-header-allowed-names", "front")...)
	})
}

// TestPlaintextPasswordsAndLinesOfNoUseAreToldAtStart looks at what the log says of the files.
func TestPlaintextPasswordsAndLinesOfNoUseAreToldAtStart(t *testing.T) {
	u := newUsers(t)
	if err := os.Chmod(file(u.dir, "passwords"), 0o644); err != nil {
		t.Fatal(err)
	}
	u.Restart()
	log := u.Process().Log().String()
	for _, want := range []string{
		"passwords can be read in a file", "jane joe lee", `"file":"` + file(u.dir, "passwords") + `"`,
		"max stands on line 5 as well; with neither line is anybody let in", "the password of nil is empty; nobody is let in by it",
		file(u.dir, "tokens.csv") + ":6", "its token stands on an earlier line as well, for another user; neither is let in by it",
		file(u.dir, "tokens.csv") + ":7", "its token is empty; nobody is let in by it",
		"a file with credentials is open to other users of this machine", "chmod 600 " + file(u.dir, "passwords"),
	} {
		if !strings.Contains(strings.ReplaceAll(strings.ReplaceAll(log, `","`, " "), `["`, ""), want) && !strings.Contains(log, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	for _, secret := range []string{"plain:text", "encoded", "columned", "listed-token", "twice,", "hashed"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log quotes %q", secret)
		}
	}
}
