// Package signature signs files and verifies their signatures, in the format of minisign: what one makes the other takes. Keys are
// Ed25519. A signature covers the file, or its BLAKE2b-512 hash, and a comment that can be trusted with it.
//
// It does no more than that: which keys are to be trusted is for its callers to say.
package signature

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// The formats' two letters that say how something is signed, and how the secret key is kept.
const (
	algorithm          = "Ed" // over the file itself, and what all keys are for
	prehashedAlgorithm = "ED" // over the file's BLAKE2b-512
	scryptDerivation   = "Sc"
	noDerivation       = "\x00\x00"
	blake2bChecksum    = "B2"
)

// The beginnings of the lines that are not base64.
const (
	untrustedPrefix = "untrusted comment: "
	trustedPrefix   = "trusted comment: "
)

// maxText is more than any key or signature with its comments takes, in bytes.
const maxText = 16 << 10

// KeyID tells keys apart. It is chosen at random with the key, and proves nothing.
type KeyID [8]byte

// String is the ID as minisign prints it.
func (id KeyID) String() string { return fmt.Sprintf("%016X", binary.LittleEndian.Uint64(id[:])) }

// splitLines returns the lines of a file, which must be text of a sensible length.
func splitLines(text []byte) ([]string, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("it has more than %d bytes", maxText)
	}
	lines := strings.Split(strings.TrimRight(string(text), "\r\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSuffix(line, "\r")
	}
	return lines, nil
}

// decode reads a line of base64 that stands for size bytes, the first two of which say which algorithm.
func decode(line string, size int) ([]byte, error) {
	data, err := base64.StdEncoding.Strict().DecodeString(line)
	switch {
	case err != nil:
		return nil, errors.New("its second line is not base64")
	case len(data) != size:
		return nil, fmt.Errorf("it has %d bytes, want %d", len(data), size)
	}
	return data, nil
}

// keyLine is the line of a key's file that has the key, after its comment if there is one.
func keyLine(text []byte) (string, error) {
	lines, err := splitLines(text)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(lines[0], strings.TrimSpace(untrustedPrefix)) {
		lines = lines[1:]
	}
	if len(lines) != 1 {
		return "", errors.New("want a line that begins with `untrusted comment:` and a line of base64")
	}
	return strings.TrimSpace(lines[0]), nil
}
