package capability

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gopkg.in/go-jose/go-jose.v2"
	"gopkg.in/go-jose/go-jose.v2/jwt"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CryptoGrant lets a plugin have the server compute what takes a guest many times as long.
type CryptoGrant struct {
	// VerifyJWT grants crypto.verify_jwt.
	VerifyJWT *TokenGrant `json:"verifyJWT,omitempty"`
	// VerifyCert grants crypto.verify_cert.
	VerifyCert bool `json:"verifyCert,omitempty"`
}

// TokenGrant says which tokens may be found valid.
type TokenGrant struct {
	// Algorithms are those that signatures may have; all of RS, PS and ES, and EdDSA, when left out. There are no others.
	Algorithms []string `json:"algorithms,omitempty"`
	// Issuers have keys that the plugin need not give, and cannot replace by its own.
	Issuers []IssuerGrant `json:"issuers,omitempty"`
	// Leeway is how wrong the issuer's clock may be; DefaultLeeway when left out.
	Leeway metav1.Duration `json:"leeway,omitempty"`
}

// IssuerGrant are the keys of an issuer.
type IssuerGrant struct {
	// Issuer is the claim iss of its tokens.
	Issuer string `json:"issuer"`
	// JWKS is a JSON Web Key Set.
	JWKS json.RawMessage `json:"jwks"`
}

const (
	// maxToken is how long a token may be.
	maxToken = 16 << 10
	// maxKeys is how many keys a set may have, and maxTried how many of them are tried on one token.
	maxKeys, maxTried = 100, 8
	// minRSA and maxRSA are how long RSA keys may be, in bits: shorter ones are broken, longer ones only slow.
	minRSA, maxRSA = 2048, 8192
)

func asymmetric() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// tokenVerifier answers crypto.verify_jwt.
type tokenVerifier struct {
	algorithms []string
	issuers    map[string][]jose.JSONWebKey
	leeway     time.Duration
	now        func() time.Time
}

// tokenRequest is the payload of crypto.verify_jwt.
type tokenRequest struct {
	Token string `json:"token"`
	// Issuer is what the claim iss must be.
	Issuer string `json:"issuer"`
	// Audiences are those of which the claim aud must have one; it is not looked at if AnyAudience says so.
	Audiences   []string `json:"audiences"`
	AnyAudience bool     `json:"anyAudience"`
	// Algorithms are those to accept of the granted ones; all when left out.
	Algorithms []string `json:"algorithms"`
	// JWKS are the issuer's keys, unless the configuration has them.
	JWKS json.RawMessage `json:"jwks"`
}

// tokenAnswer is the answer: claims if the token is valid, and otherwise why not.
type tokenAnswer struct {
	Valid  bool            `json:"valid"`
	Claims json.RawMessage `json:"claims,omitempty"`
	Reason string          `json:"reason,omitempty"`
}

func newTokenVerifier(grant *TokenGrant, now func() time.Time) (*tokenVerifier, error) {
	v := &tokenVerifier{algorithms: grant.Algorithms, issuers: map[string][]jose.JSONWebKey{}, now: now}
	if grant.Algorithms == nil {
		v.algorithms = asymmetric()
	}
	for i, name := range v.algorithms {
		if !slices.Contains(asymmetric(), name) {
			return nil, fmt.Errorf("algorithms[%d]: %q is none of %s", i, name, strings.Join(asymmetric(), ", "))
		}
	}
	if len(v.algorithms) == 0 {
		return nil, errors.New("algorithms: is empty, so no token could be valid: leave it out to grant all")
	}
	for i, one := range grant.Issuers {
		keys, err := parseKeys(one.JWKS)
		if err != nil {
			return nil, fmt.Errorf("issuers[%d].jwks: %w", i, err)
		}
		if one.Issuer == "" || v.issuers[one.Issuer] != nil {
			return nil, fmt.Errorf("issuers[%d].issuer: %q is empty, or stands twice", i, one.Issuer)
		}
		v.issuers[one.Issuer] = keys
	}
	var err error
	v.leeway, err = timeAtMost("leeway", grant.Leeway, DefaultLeeway, mostLeeway)
	return v, err
}

// verify answers whether a token is valid. A question that cannot be answered is an error.
func (v *tokenVerifier) verify(_ context.Context, payload []byte) ([]byte, error) {
	var request tokenRequest
	if err := decode(payload, &request); err != nil {
		return nil, err
	}
	if request.Issuer == "" {
		return nil, errors.New("issuer is missing: say whose tokens these are")
	}
	if request.AnyAudience == (len(request.Audiences) > 0) {
		return nil, errors.New("audiences is missing: say for whom the token must be, or else anyAudience: true, but not both")
	}
	for _, name := range request.Algorithms {
		if !slices.Contains(v.algorithms, name) {
			return nil, fmt.Errorf("algorithm %q is not granted to this plugin: add it to capabilities.crypto.verifyJWT.algorithms "+
				"of its YAML file, if it is one of %s", name, strings.Join(asymmetric(), ", "))
		}
	}
	keys, err := v.keysFor(request)
	if err != nil {
		return nil, err
	}
	claims, err := v.check(request, keys)
	if err != nil {
		return encode(tokenAnswer{Reason: err.Error()})
	}
	return encode(tokenAnswer{Valid: true, Claims: claims})
}

func (v *tokenVerifier) keysFor(request tokenRequest) ([]jose.JSONWebKey, error) {
	configured := v.issuers[request.Issuer]
	switch {
	case configured != nil && request.JWKS != nil:
		return nil, fmt.Errorf("the configuration has the keys of the issuer %q: leave out jwks", request.Issuer)
	case configured != nil:
		return configured, nil
	case request.JWKS == nil:
		return nil, fmt.Errorf("jwks is missing, and the issuer %q is not in capabilities.crypto.verifyJWT.issuers of this plugin's YAML file",
			request.Issuer)
	}
	keys, err := parseKeys(request.JWKS)
	if err != nil {
		return nil, fmt.Errorf("jwks: %w", err)
	}
	return keys, nil
}

// check returns the claims of a token that is valid, or why it is not.
func (v *tokenVerifier) check(request tokenRequest, keys []jose.JSONWebKey) (json.RawMessage, error) {
	claims, err := v.signed(request, keys)
	if err != nil {
		return nil, err
	}
	var known jwt.Claims
	if err := json.Unmarshal(claims, &known); err != nil {
		return nil, errors.New("the claims are none")
	}
	if known.Expiry == nil {
		return nil, errors.New("the token never expires")
	}
	if err := known.ValidateWithLeeway(jwt.Expected{Issuer: request.Issuer, Time: v.now()}, v.leeway); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "go-jose/go-jose/jwt: validation failed, "))
	}
	if !request.AnyAudience && !slices.ContainsFunc(request.Audiences, known.Audience.Contains) {
		return nil, errors.New("the token is for another audience")
	}
	return claims, nil
}

// signed returns what one of the keys has signed. The header is trusted for nothing but the choice among what is acceptable.
func (v *tokenVerifier) signed(request tokenRequest, keys []jose.JSONWebKey) (json.RawMessage, error) {
	if len(request.Token) > maxToken {
		return nil, fmt.Errorf("the token has %d bytes, at most %d are looked at", len(request.Token), maxToken)
	}
	if strings.Count(request.Token, ".") != 2 || strings.HasPrefix(strings.TrimSpace(request.Token), "{") {
		return nil, errors.New("the token is no JWT")
	}
	token, err := jose.ParseSigned(request.Token)
	if err != nil || len(token.Signatures) != 1 {
		return nil, errors.New("the token is no JWT")
	}
	header := token.Signatures[0].Header
	acceptable := v.algorithms
	if len(request.Algorithms) > 0 {
		acceptable = request.Algorithms
	}
	if !slices.Contains(acceptable, header.Algorithm) {
		return nil, fmt.Errorf("the token is signed by the algorithm %q, which is not accepted", header.Algorithm)
	}
	if _, critical := header.ExtraHeaders["crit"]; critical {
		return nil, errors.New("the token has critical headers, of which none is known")
	}
	tried := 0
	for _, key := range keys {
		if header.KeyID != "" && key.KeyID != header.KeyID || key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		if tried++; tried > maxTried {
			break
		}
		if claims, err := token.Verify(key.Key); err == nil {
			return claims, nil
		}
	}
	if tried == 0 {
		return nil, fmt.Errorf("there is no key %q for the algorithm %s", header.KeyID, header.Algorithm)
	}
	return nil, errors.New("the signature is wrong")
}

// parseKeys reads the keys of a set that can verify signatures, and leaves out all others.
func parseKeys(set json.RawMessage) ([]jose.JSONWebKey, error) {
	var parsed struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(set, &parsed); err != nil {
		return nil, fmt.Errorf("is no JSON Web Key Set: %w", err)
	}
	if len(parsed.Keys) > maxKeys {
		return nil, fmt.Errorf("has %d keys, at most %d are read", len(parsed.Keys), maxKeys)
	}
	keys := []jose.JSONWebKey{}
	for _, raw := range parsed.Keys {
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(raw); err != nil {
			continue // of a kind that is not known here, as RFC 7517, section 5, has it
		}
		if key = key.Public(); !key.Valid() || key.Use != "" && key.Use != "sig" {
			continue // Public makes nothing of a secret that both sides share
		}
		if public, ok := key.Key.(*rsa.PublicKey); ok && (public.N.BitLen() < minRSA || public.N.BitLen() > maxRSA) {
			continue
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("has no public key for signatures")
	}
	return keys, nil
}
