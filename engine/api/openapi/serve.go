package openapi

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/munnerz/goautoneg"
)

const (
	v2Path   = "/openapi/v2"
	v3Path   = "/openapi/v3"
	v3Prefix = v3Path + "/"
)

// form is one way in which a document is sent.
type form struct {
	subtype     string // what clients ask for, below application/
	contentType string
	open        func(*Document) (io.ReadSeeker, error)
}

func asJSON(d *Document) (io.ReadSeeker, error)     { return d.json() }
func asProtobuf(d *Document) (io.ReadSeeker, error) { return d.protobuf() }

// v2Forms and v3Forms are those of upstream's handlers, the preferred first. The types with @ are not valid as media types,
// but they came first, so clients ask for them and are answered with the others.
func v2Forms() []form {
	const protobuf = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
	return []form{
		{"json", "application/json", asJSON},
		{"com.github.proto-openapi.spec.v2@v1.0+protobuf", protobuf, asProtobuf},
		{"com.github.proto-openapi.spec.v2.v1.0+protobuf", protobuf, asProtobuf},
	}
}

func v3Forms() []form {
	const protobuf = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
	return []form{
		{"json", "application/json", asJSON},
		{"com.github.proto-openapi.spec.v3.v1.0+protobuf", protobuf, asProtobuf},
		{"com.github.proto-openapi.spec.v3@v1.0+protobuf", protobuf, asProtobuf},
	}
}

// Handles says whether a path is this Service's to answer.
func (s *Service) Handles(path string) bool {
	return path == v2Path || path == v3Path || strings.HasPrefix(path, v3Prefix)
}

// ServeHTTP implements http.Handler. It answers as k8s.io/kube-openapi's handlers do, but that v3 documents are compressed
// too, and that an Accept header which cannot be understood is 406.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, isV3 := strings.CutPrefix(r.URL.Path, v3Prefix)
	switch {
	case r.URL.Path == v2Path:
		s.serveV2(w, r)
	case r.URL.Path == v3Path:
		s.serveRoot(w, r)
	case isV3:
		s.serveV3(path, w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Service) serveV2(w http.ResponseWriter, r *http.Request) {
	varies(w)
	chosen, ok := negotiate(r, v2Forms())
	if !ok {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	s.send(s.V2(), chosen, w, r)
}

func (s *Service) serveV3(path string, w http.ResponseWriter, r *http.Request) {
	document := s.Document(path)
	if document == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	varies(w)
	chosen, ok := negotiate(r, v3Forms())
	if !ok {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	hash := r.URL.Query().Get("hash")
	if hash != "" && hash != document.etag {
		describe(document, chosen, w)
		http.Redirect(w, r, hashedURL(path, document.etag), http.StatusMovedPermanently)
		return
	}
	if hash != "" {
		// What is at this URL never changes: it may be kept for as long as HTTP can say.
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Expires", time.Now().AddDate(1, 0, 0).Format(time.RFC1123))
	}
	s.send(document, chosen, w, r)
}

func (s *Service) serveRoot(w http.ResponseWriter, r *http.Request) {
	root, err := s.rootDocument()
	if err != nil {
		failed(w, r, err)
		return
	}
	w.Header().Set("Etag", strconv.Quote(root.etag))
	w.Header().Set("Content-Type", "application/json")
	http.ServeContent(w, r, "", s.modified, bytes.NewReader(root.json))
}

// varies tells caches what the answer depends on.
func varies(w http.ResponseWriter) {
	w.Header().Add("Vary", "Accept-Encoding")
	w.Header().Add("Vary", "Accept")
}

func describe(document *Document, chosen form, w http.ResponseWriter) {
	w.Header().Set("Content-Type", chosen.contentType)
	w.Header().Set("Etag", strconv.Quote(document.etag))
}

// send answers with a document, compressed if the client takes that. Parts are cut from the plain document: a client that
// asks for more of what it has could not tell from the entity tag whether that was compressed.
func (s *Service) send(document *Document, chosen form, w http.ResponseWriter, r *http.Request) {
	content, err := chosen.open(document)
	if err != nil {
		failed(w, r, err)
		return
	}
	if acceptsGzip(r.Header) && r.Header.Get("Range") == "" {
		w.Header().Set("Content-Encoding", "gzip")
	} else if content, err = unpack(content); err != nil {
		failed(w, r, err)
		return
	}
	describe(document, chosen, w)
	http.ServeContent(w, r, "", s.modified, content)
}

// failed answers with what only a broken build, or a document that was broken when it was added, can cause.
func failed(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Del("Cache-Control")
	w.Header().Del("Expires")
	http.Error(w, fmt.Sprintf("serve %s: %v", r.URL.Path, err), http.StatusInternalServerError)
}

// negotiate picks the first form that the client's most wanted media type allows.
func negotiate(r *http.Request, forms []form) (form, bool) {
	accept := r.Header.Get("Accept")
	if accept == "" {
		accept = "*/*"
	}
	for _, clause := range goautoneg.ParseAccept(accept) {
		if clause.Type != "application" && clause.Type != "*" {
			continue
		}
		for _, f := range forms {
			if clause.SubType == f.subtype || clause.SubType == "*" {
				return f, true
			}
		}
	}
	return form{}, false
}

// acceptsGzip says whether a request's Accept-Encoding allows for gzip.
func acceptsGzip(header http.Header) bool {
	any := false
	for _, list := range header.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(list, ",") {
			coding, parameters, _ := strings.Cut(item, ";")
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip":
				return !refused(parameters)
			case "*":
				any = !refused(parameters)
			}
		}
	}
	return any
}

// refused says whether the parameters of a content coding give it no weight.
func refused(parameters string) bool {
	value, ok := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q=")
	if !ok {
		return false
	}
	weight, err := strconv.ParseFloat(value, 64)
	return err != nil || weight <= 0
}
