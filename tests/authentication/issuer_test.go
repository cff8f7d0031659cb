package authentication

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// issuer is a server whose service account tokens another one accepts as those of an OpenID Connect issuer.
const issuer = "https://issuer.example"

// newIssuer runs a server that tells everybody how to verify its tokens.
func newIssuer(t *testing.T) *world {
	t.Helper()
	w := start(t, t.TempDir(), "--service-accounts-issuer", issuer,
		"--authentication-anonymous-paths", "/livez,/readyz,/.well-known/openid-configuration,/openid/v1/jwks")
	_, err := w.client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "discovery-for-all"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:service-account-issuer-discovery"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:unauthenticated"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// configuration is a file that has a server accept an issuer's tokens for an audience; rest is added at its end.
func (w *world) configuration(prefix, rest string) string {
	return fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: %s
    discoveryURL: https://%s/.well-known/openid-configuration
    audiences: [gatehouse, spare]
    audienceMatchPolicy: MatchAny
    certificateAuthority: |
      %s
  claimValidationRules:
  - expression: 'claims.sub.startsWith("system:serviceaccount:default:")'
    message: only accounts of default are let in
  claimMappings:
    username: {expression: '"%s" + claims["kubernetes.io"].serviceaccount.name'}
    groups: {expression: '[claims["kubernetes.io"].namespace]'}
    uid: {expression: 'claims["kubernetes.io"].serviceaccount.uid'}
    extra: [{key: "example.org/token", valueExpression: "claims.jti"}]
  userValidationRules:
  - expression: "!user.username.startsWith('system:')"
    message: names of the system are not to be had
%s`, issuer, w.Process().Address(), strings.ReplaceAll(string(w.ClientConfig().CAData), "\n", "\n      "), prefix, rest)
}

// TestTokensOfAnIssuerLetInWhomTheFileSays uses the tokens of one server at another.
func TestTokensOfAnIssuerLetInWhomTheFileSays(t *testing.T) {
	from := newIssuer(t)
	account := from.account(t, "jane")
	from.account(t, "joe")
	dir := t.TempDir()
	config := file(dir, "authentication.yaml")
	write(t, config, from.configuration("oidc:", "anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}, {path: /version}]}\n"))
	w := start(t, dir, "--authentication-config-file", config)

	good := from.token(t, "jane", authenticationv1.TokenRequestSpec{Audiences: []string{"gatehouse"}})
	w.becomes(t, bearer(good), "oidc:jane") // once the keys are known
	got := w.whoami(t, bearer(good))
	want := authenticationv1.UserInfo{Username: "oidc:jane", UID: string(account.UID), Groups: []string{"default", "system:authenticated"},
		Extra: map[string]authenticationv1.ExtraValue{
			"example.org/token":                          {claims(t, good)["jti"].(string)},
			"authentication.kubernetes.io/credential-id": {"JTI=" + claims(t, good)["jti"].(string)},
		}}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := w.kubectl(t, good, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"); got != "oidc:jane" {
		t.Errorf("kubectl is told that it is %q", got)
	}
	if n := w.attempts(t, "jwt", "accepted"); n == 0 {
		t.Error("metrics do not count who was let in")
	}
	for name, token := range map[string]string{
		"another audience": from.token(t, "jane", authenticationv1.TokenRequestSpec{Audiences: []string{"elsewhere"}}),
		"cut off":          good[:len(good)-8],
		"its own audience": from.token(t, "jane", authenticationv1.TokenRequestSpec{}),
		"claims that a rule forbids": from.tokenIn(t, "kube-system", "default",
			authenticationv1.TokenRequestSpec{Audiences: []string{"gatehouse"}}),
	} {
		if got := w.whoami(t, bearer(token)); got != nil {
			t.Errorf("a token with %s lets in %v", name, got)
		}
	}
	if got := w.ask(t, credentials{}, http.MethodGet, "/version", ""); got.code != http.StatusOK {
		t.Errorf("/version, which the file opens, is answered %d", got.code)
	}
	if got := w.ask(t, credentials{}, http.MethodGet, "/healthz", ""); got.code != http.StatusUnauthorized {
		t.Errorf("/healthz, which the file does not open, is answered %d", got.code)
	}

	const anonymous = "anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}, {path: /version}]}\n"
	write(t, config, from.configuration("changed:", anonymous))
	w.becomes(t, bearer(good), "changed:jane")
	write(t, config, from.configuration("open:", "anonymous: {enabled: true}\n"))
	w.says(t, "anonymous: Forbidden: changed while the server runs")
	write(t, config, from.configuration("broken:", anonymous+"nonsense: true\n"))
	w.says(t, `unknown field \"nonsense\"`)
	w.becomes(t, bearer(good), "changed:jane")
	write(t, config, from.configuration("system:", anonymous))
	w.becomes(t, bearer(good), "") // the file's own rule
}

func TestAFileThatNamesTheServersOwnIssuerIsRefused(t *testing.T) {
	from := newIssuer(t)
	path := file(t.TempDir(), "authentication.yaml")
	write(t, path, from.configuration("", ""))
	output := failToStart(t, "--authentication-config-file", path, "--service-accounts-issuer", issuer)
	if want := "jwt[0].issuer.url: Invalid value: \"" + issuer + "\": URL must not overlap with disallowed issuers"; !strings.Contains(output, want) {
		t.Errorf("the server says\n\t%s\nwant\n\t%s", output, want)
	}
	write(t, path, from.configuration("", "anonymous: {enabled: true}\n"))
	output = failToStart(t, "--authentication-config-file", path, "--authentication-anonymous-paths", "/version")
	if want := path + " says who is anonymous, and authentication.anonymousPaths as well; keep one"; !strings.Contains(output, want) {
		t.Errorf("the server says\n\t%s\nwant\n\t%s", output, want)
	}
}

// An issuer is changed by naming the old one as accepted: its tokens live on.
func TestTokensOfTheIssuerOfBeforeAreAccepted(t *testing.T) {
	w := start(t, t.TempDir(), "--service-accounts-issuer", "https://new.example", "--service-accounts-accepted-issuers", issuer)
	w.account(t, "robot")
	token := w.token(t, "robot", authenticationv1.TokenRequestSpec{Audiences: []string{issuer}})
	w.becomes(t, bearer(token), "system:serviceaccount:default:robot")
	old := claims(t, token)
	old["iss"] = issuer
	key := loadKey(t, file(w.DataDir(), "pki/service-account/0001.key"))
	w.becomes(t, bearer(signed(t, key, "ES256", old)), "system:serviceaccount:default:robot")
	old["iss"] = "https://elsewhere.example"
	w.becomes(t, bearer(signed(t, key, "ES256", old)), "")
}
