package authn

import (
	"context"
	"crypto"
	"fmt"
	"sync"
	"sync/atomic"

	"gopkg.in/go-jose/go-jose.v2/jwt"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// ServiceAccountKeys sign and verify service account tokens. They can be changed while they are used: tokens of keys that
// remain are still accepted.
type ServiceAccountKeys struct {
	issuer string
	keys   atomic.Pointer[keys]

	mu        sync.Mutex
	listeners []serviceaccount.Listener // guarded by mu
}

type keys struct {
	serviceaccount.PublicKeysGetter
	serviceaccount.TokenGenerator
	legacy serviceaccount.TokenGenerator
}

var (
	_ serviceaccount.PublicKeysGetter = (*ServiceAccountKeys)(nil)
	_ serviceaccount.TokenGenerator   = (*ServiceAccountKeys)(nil)
)

// NewServiceAccountKeys makes keys that sign in an issuer's name. See Rotate.
func NewServiceAccountKeys(issuer string, signer crypto.Signer, public []any) (*ServiceAccountKeys, error) {
	k := &ServiceAccountKeys{issuer: issuer}
	return k, k.Rotate(signer, public)
}

// Rotate has signer sign from now on, and all of public verify, of which signer's own must be one.
func (k *ServiceAccountKeys) Rotate(signer crypto.Signer, public []any) error {
	verify, err := serviceaccount.StaticPublicKeysGetter(public)
	if err != nil {
		return fmt.Errorf("use keys to verify service account tokens: %w", err)
	}
	sign, err := serviceaccount.JWTTokenGenerator(k.issuer, signer)
	if err != nil {
		return fmt.Errorf("use a key to sign service account tokens: %w", err)
	}
	legacy, err := serviceaccount.JWTTokenGenerator(serviceaccount.LegacyIssuer, signer)
	if err != nil {
		return fmt.Errorf("use a key to sign service account tokens that stand in Secrets: %w", err)
	}
	k.keys.Store(&keys{verify, sign, legacy})
	k.mu.Lock()
	listeners := k.listeners[:len(k.listeners):len(k.listeners)]
	k.mu.Unlock()
	for _, listener := range listeners {
		listener.Enqueue()
	}
	return nil
}

// AddListener implements serviceaccount.PublicKeysGetter.
func (k *ServiceAccountKeys) AddListener(listener serviceaccount.Listener) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listeners = append(k.listeners, listener)
}

// GetCacheAgeMaxSeconds implements serviceaccount.PublicKeysGetter.
func (k *ServiceAccountKeys) GetCacheAgeMaxSeconds() int {
	return k.keys.Load().GetCacheAgeMaxSeconds()
}

// GetPublicKeys implements serviceaccount.PublicKeysGetter.
func (k *ServiceAccountKeys) GetPublicKeys(ctx context.Context, keyIDHint string) []serviceaccount.PublicKey {
	return k.keys.Load().GetPublicKeys(ctx, keyIDHint)
}

// GenerateToken implements serviceaccount.TokenGenerator.
func (k *ServiceAccountKeys) GenerateToken(ctx context.Context, claims *jwt.Claims, privateClaims any) (string, error) {
	return k.keys.Load().GenerateToken(ctx, claims, privateClaims)
}

// Legacy signs tokens that do not end and stand in Secrets, in the name of upstream's issuer of those.
func (k *ServiceAccountKeys) Legacy() serviceaccount.TokenGenerator { return legacyKeys{k} }

type legacyKeys struct{ *ServiceAccountKeys }

// GenerateToken implements serviceaccount.TokenGenerator.
func (k legacyKeys) GenerateToken(ctx context.Context, claims *jwt.Claims, privateClaims any) (string, error) {
	return k.keys.Load().legacy.GenerateToken(ctx, claims, privateClaims)
}

// listener calls itself when keys have changed.
type listener func()

func (l listener) Enqueue() { l() }
