package signature

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// Suffix is what the name of a file's signature has after the file's own.
const Suffix = ".minisig"

// Signature is what vouches for a file. It does not change.
type Signature struct {
	id        KeyID
	prehashed bool
	signature [ed25519.SignatureSize]byte
	comment   string
	// global covers signature and comment.
	global [ed25519.SignatureSize]byte
}

// Parse reads a signature's file.
func Parse(text []byte) (*Signature, error) {
	lines, err := splitLines(text)
	if err != nil {
		return nil, fmt.Errorf("no signature of minisign: %w", err)
	}
	if len(lines) != 4 {
		return nil, fmt.Errorf("no signature of minisign: it has %d lines, want 4", len(lines))
	}
	if !strings.HasPrefix(lines[0], strings.TrimSpace(untrustedPrefix)) {
		return nil, errors.New("no signature of minisign: its first line does not begin with `untrusted comment:`")
	}
	s := &Signature{}
	data, err := decode(lines[1], len(algorithm)+len(s.id)+len(s.signature))
	if err != nil {
		return nil, fmt.Errorf("no signature of minisign: %w", err)
	}
	switch used := string(data[:2]); used {
	case algorithm:
	case prehashedAlgorithm:
		s.prehashed = true
	default:
		return nil, fmt.Errorf("a signature of the algorithm %q, only %q and %q are known", used, algorithm, prehashedAlgorithm)
	}
	copy(s.id[:], data[2:])
	copy(s.signature[:], data[2+len(s.id):])
	var trusted bool
	if s.comment, trusted = strings.CutPrefix(lines[2], trustedPrefix); !trusted {
		return nil, errors.New("no signature of minisign: its third line does not begin with `trusted comment: `")
	}
	global, err := base64.StdEncoding.Strict().DecodeString(lines[3])
	if err != nil || len(global) != len(s.global) {
		return nil, fmt.Errorf("no signature of minisign: its last line is not %d bytes in base64", len(s.global))
	}
	copy(s.global[:], global)
	return s, nil
}

// KeyID is the name of the key that is said to have signed.
func (s *Signature) KeyID() KeyID { return s.id }

// Comment is the trusted comment. It deserves that only after Verify.
func (s *Signature) Comment() string { return s.comment }

// File is the signature's file, as minisign makes it.
func (s *Signature) File() []byte {
	used := algorithm
	if s.prehashed {
		used = prehashedAlgorithm
	}
	data := append([]byte(used), s.id[:]...)
	return fmt.Appendf(nil, "%ssignature from minisign secret key\n%s\n%s%s\n%s\n", untrustedPrefix,
		base64.StdEncoding.EncodeToString(append(data, s.signature[:]...)), trustedPrefix, s.comment,
		base64.StdEncoding.EncodeToString(s.global[:]))
}

// Verify reports with nil that one of the keys has signed the message and the signature's comment.
func (s *Signature) Verify(message []byte, keys ...PublicKey) error {
	var last error
	for _, key := range keys {
		if key.id != s.id {
			continue
		}
		if last = s.verify(message, key); last == nil {
			return nil
		}
	}
	if last != nil {
		return last
	}
	ids := make([]string, len(keys))
	for i, key := range keys {
		ids[i] = key.id.String()
	}
	return fmt.Errorf("it is signed with the key %s, want one of %s", s.id, strings.Join(ids, ", "))
}

func (s *Signature) verify(message []byte, key PublicKey) error {
	if s.prehashed {
		message = prehash(message)
	}
	switch {
	case !ed25519.Verify(key.key[:], message, s.signature[:]):
		return fmt.Errorf("its signature with the key %s is wrong: the file or the signature was changed, or they do not belong together", s.id)
	case !ed25519.Verify(key.key[:], s.covered(), s.global[:]):
		return fmt.Errorf("the trusted comment of its signature with the key %s was changed", s.id)
	}
	return nil
}

// covered is what the global signature is over.
func (s *Signature) covered() []byte {
	return append(s.signature[:len(s.signature):len(s.signature)], s.comment...)
}

func prehash(message []byte) []byte {
	sum := blake2b.Sum512(message)
	return sum[:]
}
