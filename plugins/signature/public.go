package signature

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
)

// PublicKey verifies signatures. It does not change.
type PublicKey struct {
	id  KeyID
	key [ed25519.PublicKeySize]byte
}

// ParsePublicKey reads a public key: the file that minisign makes, or the second line of it alone.
func ParsePublicKey(text []byte) (PublicKey, error) {
	line, err := keyLine(text)
	if err != nil {
		return PublicKey{}, fmt.Errorf("no public key of minisign: %w", err)
	}
	data, err := decode(line, len(algorithm)+len(KeyID{})+ed25519.PublicKeySize)
	if err != nil {
		return PublicKey{}, fmt.Errorf("no public key of minisign: %w", err)
	}
	if got := string(data[:2]); got != algorithm {
		return PublicKey{}, fmt.Errorf("a public key for the algorithm %q, only %q is known", got, algorithm)
	}
	var k PublicKey
	copy(k.id[:], data[2:])
	copy(k.key[:], data[2+len(k.id):])
	return k, nil
}

// ID is the key's name.
func (k PublicKey) ID() KeyID { return k.id }

// Equal reports whether two keys are the same one.
func (k PublicKey) Equal(other PublicKey) bool { return k == other }

// String is the key as one line, without a comment.
func (k PublicKey) String() string {
	data := append([]byte(algorithm), k.id[:]...)
	return base64.StdEncoding.EncodeToString(append(data, k.key[:]...))
}

// File is the key's file, as minisign makes it.
func (k PublicKey) File() []byte {
	return fmt.Appendf(nil, "%sminisign public key %s\n%s\n", untrustedPrefix, k.id, k)
}
