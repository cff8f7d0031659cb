// Package objects is the storage that upstream's registries see: k8s.io/apiserver/pkg/storage.Interface, written once over
// the byte-level contract of engine/storage and so the same for every backend. It encodes objects and gives them their
// resourceVersion, applies selectors, cuts lists into pages, retries lost races and turns committed events into watch
// events, with the semantics and the wording of kube-apiserver over etcd. Upstream's own suite for storage.Interface is run
// against it.
//
// It keeps no state besides what a running call or an open watch needs, and starts no goroutine before the first watch:
// a Store costs next to nothing, and there is one for every resource.
package objects

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/features"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/utils/clock"

	"gatehouse/engine/storage"
)

// Config says what a Store keeps, and where.
type Config struct {
	// Backend holds the bytes. It serves all resources at once; closing it is its owner's business.
	Backend storage.Store
	// Codec encodes objects in the resource's storage version and decodes them to the version that registries work with.
	Codec runtime.Codec
	// Transformer sees the bytes last on their way in and first on their way out: encryption at rest. nil stores them as they
	// are and refuses to read what was encrypted.
	Transformer value.Transformer
	// Prefix comes before the key of every object of every resource: "/registry".
	Prefix string
	// ResourcePrefix is what every key given to the Store must begin with: "/pods", "/deployments".
	ResourcePrefix string
	// GroupResource names the resource in errors.
	GroupResource schema.GroupResource
	// NewObject makes the empty object that becomes a bookmark.
	NewObject func() runtime.Object
	// NewList makes an empty list, Attributes tells what selectors look at, and Indexed are the fields that the registry expects
	// to be selected by. The Store needs none of them; they are for others that read what it stores.
	NewList    func() runtime.Object
	Attributes apistorage.AttrFunc
	Indexed    []string
	// Clock times the bookmarks; nil is the real one.
	Clock clock.WithDelayedExecution
}

// Store is upstream's storage.Interface for one resource. It is safe for concurrent use.
type Store struct {
	config         Config
	backend        storage.Store
	coding         coding
	keyPrefix      string // ends with a slash
	resourcePrefix string
	groupResource  schema.GroupResource
	newObject      func() runtime.Object
	clock          clock.WithDelayedExecution
	// unsafeDeletion is the feature gate AllowUnsafeMalformedObjectDeletion: lists tell of every unreadable object instead of
	// the first, and such objects may be deleted unread.
	unsafeDeletion bool
	// estimateSizes makes Stats read a sample of the objects.
	estimateSizes atomic.Bool
}

var _ apistorage.Interface = (*Store)(nil)

// New makes the store of one resource. It does no I/O.
func New(c Config) (*Store, error) {
	if !strings.HasPrefix(c.ResourcePrefix, "/") || c.ResourcePrefix == "/" {
		return nil, fmt.Errorf("store of %s: resource prefix %q must begin with a slash and name the resource",
			c.GroupResource, c.ResourcePrefix)
	}
	if c.Backend == nil || c.Codec == nil || c.NewObject == nil {
		return nil, fmt.Errorf("store of %s: backend, codec and object constructor are all needed", c.GroupResource)
	}
	if c.Transformer == nil {
		c.Transformer = identity.NewEncryptCheckTransformer()
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	return &Store{
		config:         c,
		backend:        c.Backend,
		coding:         coding{codec: c.Codec, transformer: c.Transformer},
		keyPrefix:      strings.TrimSuffix(path.Join("/", c.Prefix), "/") + "/",
		resourcePrefix: c.ResourcePrefix,
		groupResource:  c.GroupResource,
		newObject:      c.NewObject,
		clock:          c.Clock,
		unsafeDeletion: utilfeature.DefaultFeatureGate.Enabled(features.AllowUnsafeMalformedObjectDeletion),
	}, nil
}

// Config is what the Store was made of, complete with defaults.
func (s *Store) Config() Config { return s.config }

// KeyPrefix is what all keys begin with that the Store uses in its backend, without a slash at the end: "/registry/pods".
func (s *Store) KeyPrefix() string {
	return s.keyPrefix + strings.TrimPrefix(s.resourcePrefix, "/")
}

// Decode makes an object of what the backend holds under a key since a revision.
func (s *Store) Decode(key string, stored []byte, revision int64) (runtime.Object, error) {
	return s.coding.openAndDecode(context.Background(), key, stored, revision)
}

// prepareKey validates a caller's key and puts the global prefix before it. A recursive key comes back with a slash at its
// end, so that "/pods/a" does not find "/pods/ab/c".
func (s *Store) prepareKey(key string, recursive bool) (string, error) {
	key, err := apistorage.PrepareKey(s.resourcePrefix, key, recursive)
	if err != nil {
		return "", err
	}
	return s.keyPrefix + strings.TrimPrefix(key, "/"), nil
}

// Versioner implements storage.Interface.
func (s *Store) Versioner() apistorage.Versioner { return versioner }

// GetCurrentResourceVersion is the revision of the last commit to the backend, whatever the resource.
func (s *Store) GetCurrentResourceVersion(ctx context.Context) (uint64, error) {
	revision, err := s.backend.Revision(ctx)
	if err != nil {
		return 0, s.backendError("read the current revision for", s.resourcePrefix, err)
	}
	return uint64(revision), nil
}

// CompactRevision is the newest revision whose history before it is gone; 0 if there was no compaction.
func (s *Store) CompactRevision() int64 { return s.backend.Compacted() }

// ReadinessCheck fails once the backend is closed.
func (s *Store) ReadinessCheck() error {
	if _, err := s.backend.Revision(context.Background()); err != nil {
		return fmt.Errorf("%w: %w", apistorage.ErrStorageNotReady, err)
	}
	return nil
}

// RequestWatchProgress has nothing to do: a watch with ProgressNotify is told as soon as the revision moves.
func (s *Store) RequestWatchProgress(context.Context) error { return nil }

// EnableResourceSizeEstimation makes Stats estimate the size of an object, from a sample. The function that upstream needs
// to forget deleted keys is not called, because no keys are remembered.
func (s *Store) EnableResourceSizeEstimation(keys apistorage.KeysFunc) error {
	if keys == nil {
		return errors.New("KeysFunc cannot be nil")
	}
	if !s.estimateSizes.CompareAndSwap(false, true) {
		return errors.New("resource size estimation is already enabled")
	}
	return nil
}

// sampleSize is how many objects Stats looks at to tell their average size.
const sampleSize = 100

// Stats counts the resource's objects; see EnableResourceSizeEstimation for their size.
func (s *Store) Stats(ctx context.Context) (apistorage.Stats, error) {
	prefix, err := s.prepareKey(s.resourcePrefix, true)
	if err != nil {
		return apistorage.Stats{}, err
	}
	request := storage.RangeRequest{Start: prefix, End: storage.PrefixEnd(prefix), CountOnly: true}
	if s.estimateSizes.Load() {
		request.CountOnly, request.Limit = false, sampleSize
	}
	result, err := s.backend.Range(ctx, request)
	if err != nil {
		return apistorage.Stats{}, s.backendError("count", prefix, err)
	}
	stats := apistorage.Stats{ObjectCount: result.Count}
	if len(result.Items) > 0 {
		var total int64
		for i := range result.Items {
			total += int64(len(result.Items[i].Value))
		}
		stats.EstimatedAverageObjectSizeBytes = total / int64(len(result.Items))
	}
	return stats, nil
}
