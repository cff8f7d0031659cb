// Package archive is the layout of the pregenerated OpenAPI files: what package generate writes and package openapi embeds.
//
// Each document is there as JSON and as protobuf, compressed, so that neither form is ever made while the server runs:
//
//	index.json              the ETag of every document
//	schema.gob              what managedFields needs to know of all kinds, see Schema
//	v2.json.gz, v2.pb.gz    the OpenAPI v2 document
//	v3/<path>.json.gz, .pb.gz
package archive

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"fmt"
)

// File names in the archive.
const (
	IndexFile  = "index.json"
	SchemaFile = "schema.gob"
	// V2 is the base name of the v2 document.
	V2 = "v2"

	JSONSuffix     = ".json.gz"
	ProtobufSuffix = ".pb.gz"
)

// V3 is the base name of the v3 document at path, such as "apis/apps/v1".
func V3(path string) string { return "v3/" + path }

// Index names the documents of an archive.
type Index struct {
	// V2 is the ETag of the v2 document, V3 those of the v3 documents by their path below /openapi/v3.
	V2 string            `json:"v2"`
	V3 map[string]string `json:"v3"`
}

// ETag is the entity tag, without quotes, that upstream gives the document with this JSON. All forms of a document share it.
func ETag(json []byte) string {
	return fmt.Sprintf("%X", sha512.Sum512(json))
}

// Compress makes the form in which documents are kept.
func Compress(plain []byte) ([]byte, error) {
	var compressed bytes.Buffer
	w, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return compressed.Bytes(), nil
}
