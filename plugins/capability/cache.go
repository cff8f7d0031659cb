package capability

import (
	"container/list"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CacheGrant lets a plugin keep values from one call to the next, for all of its instances. They are gone when its files change
// or the server ends; what was not asked for longest goes first when there is no room.
type CacheGrant struct {
	// MaxBytes is how much it may keep; DefaultCacheBytes when left out.
	MaxBytes resource.Quantity `json:"maxBytes,omitempty"`
	// MaxTTL is how long it may keep something; DefaultMaxTTL when left out.
	MaxTTL metav1.Duration `json:"maxTTL,omitempty"`
}

// entryBytes is what an entry takes besides its key and value.
const entryBytes = 256

// cache answers cache.get and cache.set for one plugin.
type cache struct {
	maxBytes int64
	maxTTL   time.Duration
	now      func() time.Time

	mu      sync.Mutex // guards what follows
	entries map[string]*list.Element
	recent  *list.List // of entry, the one used last first
	bytes   int64
}

type entry struct {
	key     string
	value   json.RawMessage
	expires time.Time
}

func (e entry) size() int64 { return int64(len(e.key)+len(e.value)) + entryBytes }

func newCache(grant *CacheGrant, now func() time.Time) (*cache, error) {
	c := &cache{now: now, entries: map[string]*list.Element{}, recent: list.New()}
	var err error
	if c.maxBytes, err = bytesAtMost("maxBytes", grant.MaxBytes, DefaultCacheBytes); err != nil {
		return nil, err
	}
	c.maxTTL, err = timeAtMost("maxTTL", grant.MaxTTL, DefaultMaxTTL, mostTTL)
	return c, err
}

// get answers {"found": true, "value": ...} or {"found": false}.
func (c *cache) get(_ context.Context, payload []byte) ([]byte, error) {
	var request struct {
		Key string `json:"key"`
	}
	if err := decode(payload, &request); err != nil {
		return nil, err
	}
	if request.Key == "" {
		return nil, errors.New("key is missing")
	}
	value, found := c.look(request.Key)
	return encode(struct {
		Found bool            `json:"found"`
		Value json.RawMessage `json:"value,omitempty"`
	}{found, value})
}

// set answers {}.
func (c *cache) set(_ context.Context, payload []byte) ([]byte, error) {
	var request struct {
		Key   string          `json:"key"`
		Value json.RawMessage `json:"value"`
		TTL   metav1.Duration `json:"ttl"`
	}
	if err := decode(payload, &request); err != nil {
		return nil, err
	}
	if request.Key == "" || request.Value == nil {
		return nil, errors.New("key or value is missing")
	}
	ttl, err := timeAtMost("ttl", request.TTL, min(DefaultTTL, c.maxTTL), c.maxTTL)
	if err != nil {
		return nil, err
	}
	e := entry{key: request.Key, value: request.Value, expires: c.now().Add(ttl)}
	if e.size() > c.maxBytes {
		return nil, fmt.Errorf("%d bytes have no room: this plugin's cache has %d", e.size(), c.maxBytes)
	}
	c.keep(e)
	return []byte("{}"), nil
}

func (c *cache) look(key string) (json.RawMessage, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.entries[key]
	if element == nil {
		return nil, false
	}
	e := element.Value.(entry)
	if !c.now().Before(e.expires) {
		c.drop(element)
		return nil, false
	}
	c.recent.MoveToFront(element)
	return e.value, true
}

func (c *cache) keep(e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.entries[e.key]; old != nil {
		c.drop(old)
	}
	for c.bytes+e.size() > c.maxBytes {
		c.drop(c.recent.Back())
	}
	c.entries[e.key] = c.recent.PushFront(e)
	c.bytes += e.size()
}

// drop forgets an entry. The caller holds mu.
func (c *cache) drop(element *list.Element) {
	e := c.recent.Remove(element).(entry)
	delete(c.entries, e.key)
	c.bytes -= e.size()
}
