package informers

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
	clientcache "k8s.io/client-go/tools/cache"
)

// sources is where all informers of a factory read, once it has been told.
type sources struct {
	served  chan struct{} // closed when resolve is set
	resolve Resolver
}

// source is where one informer reads: a kind of which the resource is found when it is first looked at.
type source struct {
	kind    schema.GroupVersionKind
	sources *sources
	logger  *slog.Logger

	opened atomic.Pointer[objects]

	mu        sync.Mutex // guards transform, and opening
	transform clientcache.TransformFunc
}

// open fails with ErrNotServed, or because there is no such resource.
func (s *source) open() (*objects, error) {
	if o := s.opened.Load(); o != nil {
		return o, nil
	}
	select {
	case <-s.sources.served:
	default:
		return nil, fmt.Errorf("read %s: %w", s.kind, ErrNotServed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.opened.Load(); o != nil {
		return o, nil
	}
	resource, err := s.sources.resolve(s.kind)
	if err != nil {
		return nil, fmt.Errorf("find where %s is read: %w", s.kind, err)
	}
	o := newObjects(resource, s.transform, s.logger)
	s.opened.Store(o)
	return o, nil
}

// transformBy has all objects transformed from now on; what was decoded before is forgotten.
func (s *source) transformBy(transform clientcache.TransformFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transform = transform
	s.opened.Store(nil)
}
