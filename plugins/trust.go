package plugins

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"gatehouse/plugins/signature"
)

// signatureSuffix is what the name of a module's signature has after the plugin's.
const signatureSuffix = moduleSuffix + signature.Suffix

// maxSignature is more than any signature takes, in bytes.
const maxSignature = 1 << 20

// verify reports with nil that all that must vouch for the module does: the hash and the key in name.yaml, if it has them, and one of
// keys, if there are any. The name.yaml that lies beside a module is not signed: it is its operator's, as the folder is.
func (m *manifest) verify(dir, name string, wasm []byte, keys []signature.PublicKey) error {
	if digest := sha256.Sum256(wasm); m.SHA256 != "" && m.SHA256 != hex.EncodeToString(digest[:]) {
		return fmt.Errorf("sha256: %s%s has %x: put that there if the module is the one that you want", name, moduleSuffix, digest)
	}
	if len(keys) == 0 && m.publicKey == nil {
		return nil
	}
	file := name + signatureSuffix
	text, err := readFile(filepath.Join(dir, file), maxSignature)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing, for modules must be signed here: get it from whoever made the module, or make it with "+
			"`gatehouse plugin sign`", file)
	}
	if err != nil {
		return err
	}
	signed, err := signature.Parse(text)
	if err != nil {
		return fmt.Errorf("%s is %w", file, err)
	}
	if len(keys) > 0 {
		if err := signed.Verify(wasm, keys...); err != nil {
			return fmt.Errorf("%s does not vouch for the module: %w (plugins.publicKeys of the server)", file, err)
		}
	}
	if m.publicKey != nil {
		if err := signed.Verify(wasm, *m.publicKey); err != nil {
			return fmt.Errorf("%s does not vouch for the module: %w (publicKey in %s%s)", file, err, name, manifestSuffix)
		}
	}
	return nil
}

// checkTrust reads what the manifest has to say about who vouches for the module.
func (m *manifest) checkTrust() error {
	if digest, err := hex.DecodeString(m.SHA256); m.SHA256 != "" && (err != nil || len(digest) != sha256.Size) {
		return fmt.Errorf("sha256: %q is not %d digits of 0-9 and a-f", m.SHA256, 2*sha256.Size)
	}
	m.SHA256 = strings.ToLower(m.SHA256)
	if m.PublicKey == "" {
		return nil
	}
	key, err := signature.ParsePublicKey([]byte(m.PublicKey))
	if err != nil {
		return fmt.Errorf("publicKey: is %w", err)
	}
	m.publicKey = &key
	return nil
}
