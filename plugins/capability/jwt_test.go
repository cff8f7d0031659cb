package capability_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gopkg.in/go-jose/go-jose.v2"

	"gatehouse/plugins/capability"
)

const issuer = "https://issuer.example"

// signer signs tokens of one key.
type signer struct {
	id  string
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

func (s signer) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.id, Algorithm: string(s.alg), Use: "sig"}
}

func (s signer) sign(t *testing.T, claims any) string { return sign(t, s.alg, s.key, s.id, claims) }

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, id string, claims any, extra ...jose.HeaderKey) string {
	t.Helper()
	options := &jose.SignerOptions{}
	if id != "" {
		options = options.WithHeader("kid", id)
	}
	for _, name := range extra {
		options = options.WithHeader(name, true).WithCritical(string(name))
	}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	text, ok := claims.(string)
	if !ok {
		text = encoded(t, claims)
	}
	signed, err := made.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func newSigners(t *testing.T) (ec, rs, ed signer) {
	t.Helper()
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{"ec", jose.ES256, ecKey}, signer{"rs", jose.RS256, rsaKey}, signer{"ed", jose.EdDSA, edKey}
}

func keySet(t *testing.T, keys ...jose.JSONWebKey) string {
	return encoded(t, jose.JSONWebKeySet{Keys: keys})
}

// claims are those of a good token, changed.
func claims(c *clock, change map[string]any) map[string]any {
	all := map[string]any{"iss": issuer, "sub": "jane", "aud": []string{"gate", "else"},
		"exp": c.now.Add(time.Minute).Unix(), "nbf": c.now.Add(-time.Minute).Unix()}
	for key, value := range change {
		if all[key] = value; value == nil {
			delete(all, key)
		}
	}
	return all
}

func TestTokensAreVerified(t *testing.T) {
	c := newClock()
	ec, rs, ed := newSigners(t)
	set := keySet(t, ec.jwk(), rs.jwk(), ed.jwk())
	o := granted(t, capability.Host{Now: c.Now}, "{crypto: {verifyJWT: {}}}")
	publicKey, _ := json.Marshal(rs.key.Public())
	good := ec.sign(t, claims(c, nil))
	parts := strings.Split(good, ".")
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."
	for _, test := range []struct{ name, token, want string }{
		{"a good token", good, `{"valid":true,"claims":{"aud":["gate","else"],"exp":1777636860,…`},
		{"one of RSA", rs.sign(t, claims(c, nil)), `{"valid":true,…`},
		{"one of Ed25519", ed.sign(t, claims(c, nil)), `{"valid":true,…`},
		{"one that does not name its key", sign(t, ec.alg, ec.key, "", claims(c, nil)), `{"valid":true,…`},
		{"one for this audience alone", ec.sign(t, claims(c, map[string]any{"aud": "gate"})), `{"valid":true,…`},
		{"one that has just expired", ec.sign(t, claims(c, map[string]any{"exp": c.now.Add(-9 * time.Second).Unix()})), `{"valid":true,…`},
		{"one that has expired", ec.sign(t, claims(c, map[string]any{"exp": c.now.Add(-11 * time.Second).Unix()})), `{"valid":false,"reason":"token is expired (exp)"}`},
		{"one that never expires", ec.sign(t, claims(c, map[string]any{"exp": nil})), `{"valid":false,"reason":"the token never expires"}`},
		{"one of the future", ec.sign(t, claims(c, map[string]any{"nbf": c.now.Add(time.Minute).Unix()})), `{"valid":false,"reason":"token not valid yet (nbf)"}`},
		{"one of another issuer", ec.sign(t, claims(c, map[string]any{"iss": issuer + "/"})), `{"valid":false,"reason":"invalid issuer claim (iss)"}`},
		{"one of no issuer", ec.sign(t, claims(c, map[string]any{"iss": nil})), `{"valid":false,"reason":"invalid issuer claim (iss)"}`},
		{"one for others", ec.sign(t, claims(c, map[string]any{"aud": "else"})), `{"valid":false,"reason":"the token is for another audience"}`},
		{"one for nobody", ec.sign(t, claims(c, map[string]any{"aud": nil})), `{"valid":false,"reason":"the token is for another audience"}`},
		{"claims that are none", ec.sign(t, `["iss"]`), `{"valid":false,"reason":"the claims are none"}`},
		{"one of another key's name", sign(t, ec.alg, ec.key, "rs", claims(c, nil)), `{"valid":false,"reason":"there is no key \"rs\" for the algorithm ES256"}`},
		{"one signed by another key", signer{"ec", jose.ES256, other(t)}.sign(t, claims(c, nil)), `{"valid":false,"reason":"the signature is wrong"}`},
		{"one whose claims were changed", parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(encoded(t, claims(c, map[string]any{"sub": "root"})))) + "." + parts[2], `{"valid":false,"reason":"the signature is wrong"}`},
		{"one that is not signed", unsigned, `{"valid":false,"reason":"the token is …`},
		{"one signed with the public key as a secret", sign(t, jose.HS256, publicKey, "rs", claims(c, nil)),
			`{"valid":false,"reason":"the token is signed by the algorithm \"HS256\", which is not accepted"}`},
		{"one with a header that must be understood", sign(t, ec.alg, ec.key, "ec", claims(c, nil), "b64"),
			`{"valid":false,"reason":"the token has critical headers, of which none is known"}`},
		{"no token", "oops", `{"valid":false,"reason":"the token is no JWT"}`},
		{"a token in JSON", `{"payload":"a.b.c"}`, `{"valid":false,"reason":"the token is no JWT"}`},
		{"a token that is too long", strings.Repeat("x", 16<<10+1), `{"valid":false,"reason":"the token has 16385 bytes, at most 16384 are looked at"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			payload := fmt.Sprintf(`{"token":%s,"issuer":%q,"audiences":["gate","third"],"jwks":%s}`, encoded(t, test.token), issuer, set)
			expect(t, test.token, o.ask("crypto.verify_jwt", payload), test.want)
		})
	}
}

func other(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestATokensKeysAreTheIssuers(t *testing.T) {
	c := newClock()
	ec, rs, _ := newSigners(t)
	token := ec.sign(t, claims(c, nil))
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	private := ec.jwk()
	private.Key = ec.key
	encrypting := ec.jwk()
	encrypting.Use = "enc"
	many := strings.Repeat("{},", 100) + "{}"
	o := granted(t, capability.Host{Now: c.Now}, fmt.Sprintf(
		"{crypto: {verifyJWT: {algorithms: [ES256], issuers: [{issuer: https://known.example, jwks: %s}]}}}", keySet(t, ec.jwk())))
	known := ec.sign(t, claims(c, map[string]any{"iss": "https://known.example"}))
	for _, test := range []struct{ name, payload, want string }{
		{"the configuration's", fmt.Sprintf(`{"token":%q,"issuer":"https://known.example","anyAudience":true}`, known), `{"valid":true,…`},
		{"the configuration's replaced", fmt.Sprintf(`{"token":%q,"issuer":"https://known.example","anyAudience":true,"jwks":%s}`, known, keySet(t, rs.jwk())),
			`error: the configuration has the keys of the issuer "https://known.example": leave out jwks`},
		{"nobody's", fmt.Sprintf(`{"token":%q,"issuer":%q,"anyAudience":true}`, token, issuer), "error: jwks is missing, and the issuer …"},
		{"private ones", fmt.Sprintf(`{"token":%q,"issuer":%q,"anyAudience":true,"jwks":%s}`, token, issuer, keySet(t, private)), `{"valid":true,…`},
		{"one among unknown ones", fmt.Sprintf(`{"token":%q,"issuer":%q,"anyAudience":true,"jwks":{"keys":[{"kty":"new"},%s]}}`, token, issuer, encoded(t, ec.jwk())), `{"valid":true,…`},
		{"keys for encryption", fmt.Sprintf(`{"token":%q,"issuer":%q,"anyAudience":true,"jwks":%s}`, token, issuer, keySet(t, encrypting)), "error: jwks: has no public key for signatures"},
		{"keys that are too short", fmt.Sprintf(`{"token":%q,"issuer":%q,"anyAudience":true,"jwks":%s}`, token, issuer,
			keySet(t, jose.JSONWebKey{Key: short.Public(), KeyID: "ec"})), "error: jwks: has no public key for signatures"},
		{"a secret", fmt.Sprintf(`{"token":%q,"issuer":%q,"anyAudience":true,"jwks":{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"ec"}]}}`, token, issuer),
			"error: jwks: has no public key for signatures"},
		{"too many", fmt.Sprintf(`{"token":%q,"issuer":%q,"anyAudience":true,"jwks":{"keys":[%s]}}`, token, issuer, many), "error: jwks: has 101 keys, at most 100 are read"},
		{"an algorithm that is not granted", fmt.Sprintf(`{"token":%q,"issuer":"https://known.example","anyAudience":true,"algorithms":["RS256"]}`, known),
			`error: algorithm "RS256" is not granted to this plugin: …`},
		{"no audience", fmt.Sprintf(`{"token":%q,"issuer":"https://known.example"}`, known), "error: audiences is missing: …"},
		{"any and some audiences", fmt.Sprintf(`{"token":%q,"issuer":"https://known.example","anyAudience":true,"audiences":["a"]}`, known), "error: audiences is missing: …"},
		{"no issuer", fmt.Sprintf(`{"token":%q,"anyAudience":true}`, known), "error: issuer is missing: …"},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, test.payload, o.ask("crypto.verify_jwt", test.payload), test.want) })
	}
}
