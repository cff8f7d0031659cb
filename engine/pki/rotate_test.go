package pki

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestServiceAccountKeysAreReadAnew(t *testing.T) {
	b := newFixture(t).ensure()
	dir := b.ServiceAccountKeysDir()
	first := b.ServiceAccountSigner().Public()
	reload := func(want bool) {
		t.Helper()
		if changed, err := b.ReloadServiceAccountKeys(); err != nil || changed != want {
			t.Errorf("changed: %t, %v, want %t", changed, err, want)
		}
	}
	reload(false)

	_, text, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "0002.key"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	reload(true)
	reload(false)
	if samePublicKey(b.ServiceAccountSigner().Public(), first) || len(b.ServiceAccountPublicKeys()) != 2 {
		t.Errorf("the new key does not sign, or there are %d keys", len(b.ServiceAccountPublicKeys()))
	}

	if err := os.Remove(filepath.Join(dir, "0001.key")); err != nil {
		t.Fatal(err)
	}
	reload(true)
	signer := b.ServiceAccountSigner()
	if err := os.Remove(filepath.Join(dir, "0002.key")); err != nil {
		t.Fatal(err)
	}
	if changed, err := b.ReloadServiceAccountKeys(); changed || err == nil || !strings.Contains(err.Error(), "holds no private key") {
		t.Errorf("without keys: %t, %v", changed, err)
	}
	if b.ServiceAccountSigner() != signer {
		t.Error("without a key in the directory, the one of before does not sign any more")
	}
}
