package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/scrypt"
)

// ErrPassword is the error of an encrypted key that was given no password, or a wrong one.
var ErrPassword = errors.New("the secret key is encrypted with another password")

// The parts of a secret key's file, in bytes, in their order.
const (
	headerSize   = 6 // three algorithms of two letters
	saltSize     = 32
	limitSize    = 8 // of each of two limits
	checksumSize = 32
	// sealedSize is what a password encrypts: ID, key and checksum.
	sealedSize = len(KeyID{}) + ed25519.PrivateKeySize + checksumSize
	secretSize = headerSize + saltSize + 2*limitSize + sealedSize
)

// Derivation says how much work it is to try a password, in the units of libsodium's scrypt.
type Derivation struct {
	// Operations is about how many, Memory how much in bytes.
	Operations, Memory uint64
}

// StrongDerivation is what minisign uses: a GiB of memory and some seconds for each try.
func StrongDerivation() Derivation { return Derivation{Operations: 32 << 20, Memory: 1 << 30} }

// SecretKey signs. It does not change.
type SecretKey struct {
	id  KeyID
	key ed25519.PrivateKey
}

// Generate makes a key pair.
func Generate() (SecretKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return SecretKey{}, fmt.Errorf("make a key pair: %w", err)
	}
	k := SecretKey{key: private}
	_, err = rand.Read(k.id[:])
	return k, err
}

// Public is the other half of the pair.
func (k SecretKey) Public() PublicKey {
	public := PublicKey{id: k.id}
	copy(public.key[:], k.key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
	return public
}

// Sign vouches for a message and a comment, which must be one line.
func (k SecretKey) Sign(message []byte, comment string) (*Signature, error) {
	if strings.ContainsAny(comment, "\r\n") {
		return nil, errors.New("sign: the comment must be one line")
	}
	s := &Signature{id: k.id, prehashed: true, comment: comment}
	copy(s.signature[:], ed25519.Sign(k.key, prehash(message)))
	copy(s.global[:], ed25519.Sign(k.key, s.covered()))
	return s, nil
}

// ParseSecretKey reads the file of a secret key. password is for one that is encrypted; it is not looked at otherwise.
func ParseSecretKey(text []byte, password string) (SecretKey, error) {
	line, err := keyLine(text)
	if err != nil {
		return SecretKey{}, fmt.Errorf("no secret key of minisign: %w", err)
	}
	data, err := decode(line, secretSize)
	if err != nil {
		return SecretKey{}, fmt.Errorf("no secret key of minisign: %w", err)
	}
	used, derivation, checksum := string(data[:2]), string(data[2:4]), string(data[4:6])
	if used != algorithm || checksum != blake2bChecksum {
		return SecretKey{}, fmt.Errorf("a secret key for the algorithm %q with the checksum %q, only %q and %q are known",
			used, checksum, algorithm, blake2bChecksum)
	}
	sealed := data[secretSize-sealedSize:]
	switch derivation {
	case noDerivation:
	case scryptDerivation:
		if err := open(sealed, data[headerSize:headerSize+saltSize+2*limitSize], password); err != nil {
			return SecretKey{}, err
		}
	default:
		return SecretKey{}, fmt.Errorf("a secret key encrypted by %q, only %q is known", derivation, scryptDerivation)
	}
	k := SecretKey{key: ed25519.PrivateKey(bytes.Clone(sealed[len(KeyID{}) : len(KeyID{})+ed25519.PrivateKeySize]))}
	copy(k.id[:], sealed)
	if !bytes.Equal(ed25519.NewKeyFromSeed(k.key.Seed()), k.key) {
		return SecretKey{}, errors.New("no secret key of minisign: its halves do not belong together")
	}
	return k, nil
}

// open decrypts a sealed key where it lies, and makes sure that it came out right.
func open(sealed, how []byte, password string) error {
	limits := how[saltSize:]
	derivation := Derivation{binary.LittleEndian.Uint64(limits), binary.LittleEndian.Uint64(limits[limitSize:])}
	if err := derivation.xor(sealed, password, how[:saltSize]); err != nil {
		return err
	}
	secret := sealed[:len(sealed)-checksumSize]
	if subtle.ConstantTimeCompare(checksumOf(secret), sealed[len(secret):]) != 1 {
		return ErrPassword
	}
	return nil
}

// File is the key's file as minisign makes it, encrypted with the password unless that is empty.
func (k SecretKey) File(password string, derivation Derivation) ([]byte, error) {
	sealed := append(k.id[:len(k.id):len(k.id)], k.key...)
	how := make([]byte, saltSize+2*limitSize)
	used := noDerivation
	if password == "" {
		sealed = append(sealed, make([]byte, checksumSize)...)
	} else {
		used = scryptDerivation
		sealed = append(sealed, checksumOf(sealed)...)
		if _, err := rand.Read(how[:saltSize]); err != nil {
			return nil, err
		}
		binary.LittleEndian.PutUint64(how[saltSize:], derivation.Operations)
		binary.LittleEndian.PutUint64(how[saltSize+limitSize:], derivation.Memory)
		if err := derivation.xor(sealed, password, how[:saltSize]); err != nil {
			return nil, err
		}
	}
	data := append([]byte(algorithm+used+blake2bChecksum), how...)
	return fmt.Appendf(nil, "%sminisign encrypted secret key\n%s\n", untrustedPrefix,
		base64.StdEncoding.EncodeToString(append(data, sealed...))), nil
}

func checksumOf(secret []byte) []byte {
	sum := blake2b.Sum256(append([]byte(algorithm), secret...))
	return sum[:]
}

// xor encrypts, or decrypts, data where it lies.
func (d Derivation) xor(data []byte, password string, salt []byte) error {
	n, r, p, err := d.parameters()
	if err != nil {
		return err
	}
	stream, err := scrypt.Key([]byte(password), salt, n, r, p, len(data))
	if err != nil {
		return fmt.Errorf("derive a key from the password: %w", err)
	}
	subtle.XORBytes(data, data, stream)
	return nil
}

// parameters are scrypt's, found as libsodium does from its limits.
func (d Derivation) parameters() (n, r, p int, err error) {
	const (
		minOperations = 32768
		most          = 4 << 30 // bytes; no key is worth more
		maxParallel   = 1024    // each takes a KiB of memory
	)
	if d.Memory > most || d.Operations > most {
		return 0, 0, 0, fmt.Errorf("the secret key's encryption wants %d bytes of memory and %d operations, at most %d of each are provided",
			d.Memory, d.Operations, most)
	}
	operations := max(d.Operations, minOperations)
	r, p = 8, 1
	fewOperations := operations < d.Memory/32
	limit := d.Memory / (uint64(r) * 128)
	if fewOperations {
		limit = operations / (uint64(r) * 4)
	}
	n = 2
	for uint64(n) <= limit/2 {
		n *= 2
	}
	if !fewOperations {
		p = int(max(operations/4/uint64(n)/uint64(r), 1))
	}
	if p > maxParallel {
		return 0, 0, 0, fmt.Errorf("the secret key's encryption wants %d operations in so little memory that there would be %d lanes, "+
			"at most %d are provided", d.Operations, p, maxParallel)
	}
	return n, r, p, nil
}
