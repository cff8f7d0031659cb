package openapi

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/handler3"

	"gatehouse/engine/api/openapi/internal/archive"
)

// Document is one OpenAPI document, in both forms that clients ask for. It does not change.
type Document struct {
	etag           string
	json, protobuf opener
}

// opener opens one form of a document, compressed with gzip.
type opener func() (io.ReadSeeker, error)

// NewV2 makes an OpenAPI v2 document of its JSON, which it does not keep.
func NewV2(json []byte) (*Document, error) { return newDocument(json, handler.ToProtoBinary) }

// NewV3 makes an OpenAPI v3 document of its JSON, which it does not keep.
func NewV3(json []byte) (*Document, error) { return newDocument(json, handler3.ToV3ProtoBinary) }

func newDocument(json []byte, toProtobuf func([]byte) ([]byte, error)) (*Document, error) {
	compressed, err := archive.Compress(json)
	if err != nil {
		return nil, fmt.Errorf("compress an OpenAPI document: %w", err)
	}
	d := &Document{
		etag: archive.ETag(json),
		json: func() (io.ReadSeeker, error) { return bytes.NewReader(compressed), nil },
	}
	// Few clients ask for protobuf, and converting is dear.
	convert := sync.OnceValues(func() ([]byte, error) {
		text, err := d.JSON()
		if err != nil {
			return nil, err
		}
		protobuf, err := toProtobuf(text)
		if err != nil {
			return nil, fmt.Errorf("convert an OpenAPI document to protobuf: %w", err)
		}
		return archive.Compress(protobuf)
	})
	d.protobuf = func() (io.ReadSeeker, error) {
		compressed, err := convert()
		return bytes.NewReader(compressed), err
	}
	return d, nil
}

// ETag is the document's entity tag without quotes, the same for all its forms; other content has another.
func (d *Document) ETag() string { return d.etag }

// JSON unpacks the document. The caller owns the result.
func (d *Document) JSON() ([]byte, error) {
	compressed, err := d.json()
	if err != nil {
		return nil, err
	}
	plain, err := unpack(compressed)
	if err != nil {
		return nil, err
	}
	text := make([]byte, plain.size)
	if _, err := io.ReadFull(plain, text); err != nil {
		return nil, fmt.Errorf("unpack an OpenAPI document: %w", err)
	}
	return text, nil
}

// unpacked reads what a gzip file holds, in a few tens of kilobytes whatever its size. Seeking costs nothing until the
// next read.
type unpacked struct {
	compressed io.ReadSeeker
	size       int64
	// offset is where the next read begins, at is where reader stands.
	offset, at int64
	reader     *gzip.Reader // nil before the first read
}

// unpack takes a gzip file of one member that is smaller than 4 GiB.
func unpack(compressed io.ReadSeeker) (*unpacked, error) {
	// The file ends with the size of its content.
	if _, err := compressed.Seek(-4, io.SeekEnd); err != nil {
		return nil, fmt.Errorf("find the size of a compressed document: %w", err)
	}
	var size uint32
	if err := binary.Read(compressed, binary.LittleEndian, &size); err != nil {
		return nil, fmt.Errorf("read the size of a compressed document: %w", err)
	}
	return &unpacked{compressed: compressed, size: int64(size)}, nil
}

// Seek implements io.Seeker.
func (u *unpacked) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += u.offset
	case io.SeekEnd:
		offset += u.size
	}
	if offset < 0 {
		return 0, errors.New("seek to before the start of a document")
	}
	u.offset = offset
	return offset, nil
}

// Read implements io.Reader.
func (u *unpacked) Read(p []byte) (int, error) {
	if u.reader == nil || u.offset < u.at {
		if err := u.rewind(); err != nil {
			return 0, err
		}
	}
	if skip := u.offset - u.at; skip > 0 {
		skipped, err := io.CopyN(io.Discard, u.reader, skip)
		u.at += skipped
		if err != nil {
			return 0, err
		}
	}
	n, err := u.reader.Read(p)
	u.at += int64(n)
	u.offset = u.at
	return n, err
}

func (u *unpacked) rewind() error {
	if _, err := u.compressed.Seek(0, io.SeekStart); err != nil {
		return err
	}
	reader, err := gzip.NewReader(u.compressed)
	if err != nil {
		return fmt.Errorf("unpack a document: %w", err)
	}
	u.reader, u.at = reader, 0
	return nil
}
