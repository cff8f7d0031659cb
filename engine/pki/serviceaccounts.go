package pki

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/client-go/util/keyutil"

	"gatehouse/engine/datadir"
)

const (
	serviceAccountDir = "service-account"
	// firstServiceAccountKey sorts before the keys that will follow it.
	firstServiceAccountKey = "0001.key"
)

// serviceAccountKeys sign and verify service account tokens.
type serviceAccountKeys struct {
	signer crypto.Signer
	public []any
}

// ServiceAccountKeysDir is the directory of the keys, which can change while the server runs.
func (b *Bundle) ServiceAccountKeysDir() string { return b.path(serviceAccountDir) }

// ReloadServiceAccountKeys reads the keys anew, and tells whether they are others than before. After an error those of before
// are still in use. A directory without any keys is an error; keys are made at start only.
func (b *Bundle) ReloadServiceAccountKeys() (changed bool, err error) {
	keys, err := b.readServiceAccountKeys(b.ServiceAccountKeysDir())
	if err != nil {
		return false, err
	}
	if keys.signer == nil {
		return false, fmt.Errorf("directory %s holds no private key to sign service account tokens with; put one back as a .key file",
			b.ServiceAccountKeysDir())
	}
	before := b.serviceAccounts.Swap(keys)
	return !keys.equal(before), nil
}

// equal tells whether the same key signs and the same verify, in whatever order.
func (k *serviceAccountKeys) equal(other *serviceAccountKeys) bool {
	return samePublicKey(k.signer.Public(), other.signer.Public()) && len(k.public) == len(other.public) &&
		!slices.ContainsFunc(k.public, func(key any) bool {
			return !slices.ContainsFunc(other.public, func(o any) bool { return samePublicKey(key, o) })
		})
}

// loadServiceAccountKeys reads the keys, or makes the first one.
//
// Keys are rotated by adding one with a later name: from then on it signs, while tokens of the others are still accepted
// until their files are removed.
func (b *Bundle) loadServiceAccountKeys() (*serviceAccountKeys, error) {
	dir := b.ServiceAccountKeysDir()
	keys, err := b.readServiceAccountKeys(dir)
	if err != nil {
		return nil, err
	}
	if keys.signer != nil {
		return keys, nil
	}
	if len(keys.public) > 0 {
		return nil, fmt.Errorf("directory %s holds public keys but no private one to sign service account tokens with; "+
			"add a .key file, or remove the .pub files to have one made", dir)
	}
	return b.makeServiceAccountKey(dir)
}

// readServiceAccountKeys reads what keys there are in dir, if it exists.
func (b *Bundle) readServiceAccountKeys(dir string) (*serviceAccountKeys, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the service account keys in %w", pathError(err))
	}
	if err == nil {
		if err := checkDir(dir); err != nil {
			return nil, err
		}
	}
	keys := new(serviceAccountKeys)
	for _, entry := range slices.Backward(entries) { // ReadDir sorts by name; the last is the signer.
		if err := keys.add(filepath.Join(dir, entry.Name())); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// add reads the key file at path; files of other kinds are not ours.
func (k *serviceAccountKeys) add(path string) error {
	const fix = "restore it from a backup or remove it; tokens it has signed are refused without it"
	switch filepath.Ext(path) {
	case ".key":
		content, err := readFile(path, true)
		if err != nil {
			return err
		}
		key, err := parseKey(content)
		if err != nil {
			return fmt.Errorf("service account key %s cannot be used: %w; %s", path, err, fix)
		}
		if k.signer == nil {
			k.signer = key
			k.public = slices.Insert(k.public, 0, any(key.Public()))
			return nil
		}
		k.public = append(k.public, key.Public())
	case ".pub":
		content, err := readFile(path, false)
		if err != nil {
			return err
		}
		public, err := keyutil.ParsePublicKeysPEM(content)
		if err != nil {
			return fmt.Errorf("service account key %s cannot be used: %w; %s", path, err, fix)
		}
		k.public = append(k.public, public...)
	}
	return nil
}

func (b *Bundle) makeServiceAccountKey(dir string) (*serviceAccountKeys, error) {
	key, text, err := newKey()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, datadir.DirMode); err != nil {
		return nil, fmt.Errorf("cannot make a directory for service account keys: %w", err)
	}
	path := filepath.Join(dir, firstServiceAccountKey)
	if err := errors.Join(datadir.WriteFile(path, text, datadir.PrivateMode), datadir.SyncDir(b.dir())); err != nil {
		return nil, err
	}
	b.request.Logger.Info("made a service account key", "file", path)
	return &serviceAccountKeys{signer: key, public: []any{key.Public()}}, nil
}
