package capability

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Grants is the section capabilities of a plugin's configuration. What is left out is not granted.
type Grants struct {
	// Kubernetes grants k8s.get and k8s.list.
	Kubernetes *KubernetesGrant `json:"k8s,omitempty"`
	// Authorization grants authz.can_i.
	Authorization *AuthorizationGrant `json:"authz,omitempty"`
	// Crypto grants crypto.verify_jwt and crypto.verify_cert.
	Crypto *CryptoGrant `json:"crypto,omitempty"`
	// HTTP grants http.fetch.
	HTTP *HTTPGrant `json:"http,omitempty"`
	// Cache grants cache.get and cache.set.
	Cache *CacheGrant `json:"cache,omitempty"`
}

// AuthorizationGrant lets a plugin ask what users may do.
type AuthorizationGrant struct {
	// CanI grants authz.can_i.
	CanI bool `json:"canI,omitempty"`
}

// The bounds that hold where a grant sets none.
const (
	// DefaultMaxObjects is how many objects one k8s.list may answer.
	DefaultMaxObjects = 500
	// DefaultMaxBytes is how many bytes one k8s.get or k8s.list may answer, and how long the body of a response may be.
	DefaultMaxBytes = 1 << 20
	// DefaultTimeout bounds one http.fetch; the deadline of the plugin's call does as well.
	DefaultTimeout = 5 * time.Second
	// DefaultLeeway is how wrong the clocks of others may be.
	DefaultLeeway = 10 * time.Second
	// DefaultCacheBytes is how much one plugin may keep, keys and what it takes to keep them included.
	DefaultCacheBytes = 1 << 20
	// DefaultMaxTTL is how long something may be kept.
	DefaultMaxTTL = time.Hour
	// DefaultTTL is how long something is kept if the plugin does not say, and MaxTTL allows.
	DefaultTTL = time.Minute
)

// The bounds that no grant changes.
const (
	// MaxPayload is how many bytes a payload may have.
	MaxPayload = 1 << 20
	// mostBytes is what no grant's maxBytes can exceed.
	mostBytes = 64 << 20
	// mostObjects is what no grant's maxObjects can exceed.
	mostObjects = 10_000
	// mostTime is what no grant's timeout can exceed.
	mostTime = time.Minute
	// mostTTL is what no grant's maxTTL can exceed.
	mostTTL = 24 * time.Hour
	// mostLeeway is what no grant's leeway can exceed.
	mostLeeway = 5 * time.Minute
)

// Check finds what is wrong with the grants. Errors begin with the key, without "capabilities.".
func (g Grants) Check() error {
	_, err := (&Host{}).bind(g)
	return err
}

// atMost is a bound of a grant: fallback when it is zero. It must be positive and no more than most.
func atMost[T int | int64 | time.Duration](key string, given, fallback, most T) (T, error) {
	switch {
	case given == 0:
		return fallback, nil
	case given < 0 || given > most:
		return 0, fmt.Errorf("%s: %v is not between 0 and %v", key, given, most)
	}
	return given, nil
}

func bytesAtMost(key string, given resource.Quantity, fallback int64) (int64, error) {
	return atMost(key, given.Value(), fallback, mostBytes)
}

func timeAtMost(key string, given metav1.Duration, fallback, most time.Duration) (time.Duration, error) {
	return atMost(key, given.Duration, fallback, most)
}
