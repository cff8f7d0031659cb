// Package openapi serves the OpenAPI v2 and v3 documents, and knows the schema of every built-in kind for managedFields.
//
// kube-apiserver builds its documents at each start, which takes half a second and tens of megabytes. Here they are made
// beforehand by command generate, embedded compressed, and sent as they are; a client that does not accept gzip has them
// unpacked while they are sent. Nothing of them stays in memory.
//
// The v3 documents, one per group version and some for single paths, can be added and removed while the server runs, and
// the v2 document replaced: that is how custom resources and aggregated APIs come in.
package openapi

import (
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	"k8s.io/kube-openapi/pkg/handler3"

	"gatehouse/engine/api/openapi/internal/archive"
)

//go:generate go run ./generate

//go:embed all:documents
var documents embed.FS

// Service serves /openapi/v2, /openapi/v3 and what is below it. It is safe for concurrent use.
type Service struct {
	// modified is sent as Last-Modified, as upstream does: when this server came to serve the documents.
	modified time.Time

	mu sync.RWMutex // guards all below
	v2 *Document
	v3 map[string]*Document
	// root is the answer at /openapi/v3, nil when v3 has changed since it was made.
	root *rootDocument
}

// New returns a Service of the documents that are embedded.
func New() (*Service, error) {
	content, err := documents.ReadFile("documents/" + archive.IndexFile)
	if err != nil {
		return nil, fmt.Errorf("read the index of the embedded OpenAPI documents: %w", err)
	}
	var index archive.Index
	if err := json.Unmarshal(content, &index); err != nil {
		return nil, fmt.Errorf("parse the index of the embedded OpenAPI documents: %w", err)
	}
	s := &Service{
		modified: time.Now(),
		v2:       embedded(archive.V2, index.V2),
		v3:       make(map[string]*Document, len(index.V3)),
	}
	for path, etag := range index.V3 {
		s.v3[path] = embedded(archive.V3(path), etag)
	}
	return s, nil
}

// embedded is the document of that name in the archive.
func embedded(name, etag string) *Document {
	open := func(suffix string) opener {
		return func() (io.ReadSeeker, error) {
			file, err := documents.Open("documents/" + name + suffix)
			if err != nil {
				return nil, err
			}
			// Embedded files can seek, are never copied and need not be closed.
			return file.(io.ReadSeeker), nil
		}
	}
	return &Document{etag: etag, json: open(archive.JSONSuffix), protobuf: open(archive.ProtobufSuffix)}
}

// Set adds the v3 document at a path below /openapi/v3, such as "apis/apps/v1", or replaces the one that is there.
func (s *Service) Set(path string, document *Document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.v3[path] = document
	s.root = nil
}

// Remove takes away the v3 document at a path; it is no error when there is none.
func (s *Service) Remove(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.v3, path)
	s.root = nil
}

// Paths lists the paths of the v3 documents in order.
func (s *Service) Paths() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.v3))
}

// Document returns the v3 document at a path, nil when there is none.
func (s *Service) Document(path string) *Document {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.v3[path]
}

// SetV2 replaces the v2 document.
func (s *Service) SetV2(document *Document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.v2 = document
}

// V2 returns the v2 document.
func (s *Service) V2() *Document {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.v2
}

// rootDocument names all v3 documents.
type rootDocument struct {
	json []byte
	etag string
}

func (s *Service) rootDocument() (*rootDocument, error) {
	s.mu.RLock()
	root := s.root
	s.mu.RUnlock()
	if root != nil {
		return root, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root != nil {
		return s.root, nil
	}
	index := handler3.OpenAPIV3Discovery{Paths: make(map[string]handler3.OpenAPIV3DiscoveryGroupVersion, len(s.v3))}
	for path, document := range s.v3 {
		index.Paths[path] = handler3.OpenAPIV3DiscoveryGroupVersion{ServerRelativeURL: hashedURL(path, document.etag)}
	}
	text, err := json.Marshal(index)
	if err != nil {
		return nil, fmt.Errorf("encode the index of OpenAPI v3 documents: %w", err)
	}
	s.root = &rootDocument{json: text, etag: archive.ETag(text)}
	return s.root, nil
}

// hashedURL is where a document can be had that may be cached for ever, because another document has another hash.
func hashedURL(path, etag string) string {
	u := url.URL{Path: v3Prefix + path, RawQuery: url.Values{"hash": {etag}}.Encode()}
	return u.String()
}
