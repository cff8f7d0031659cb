package authn

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"gatehouse/engine/authn/userfile"
	"gatehouse/engine/files"
)

// passwordFiles makes the member of files with these contents.
func passwordFiles(t *testing.T, contents ...string) *passwords {
	t.Helper()
	set := files.NewSet(slog.New(slog.DiscardHandler))
	t.Cleanup(set.Close)
	var paths []string
	for _, content := range contents {
		path := filepath.Join(t.TempDir(), "passwords")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	member, err := PasswordFiles(set, paths, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return member.request.(*passwords)
}

// Nothing is compared with a hash for somebody who has gone, and he is told of that; so who is told has been refused by one.
func TestEverybodyIsRefusedByAHashIfAnyFileHasOne(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, member := range map[string]*passwords{
		"in one file":                   passwordFiles(t, "jane:plain\nkim:"+string(hash)+"\n"),
		"in two files, hashes first":    passwordFiles(t, "kim:"+string(hash)+"\n", "jane:plain\n"),
		"in two files, hashes second":   passwordFiles(t, "jane:plain\n", "kim:"+string(hash)+"\n"),
		"in two files with all in both": passwordFiles(t, "jane:plain\nkim:"+string(hash)+"\n", "jane:x\nkim:plain\n"),
	} {
		for _, user := range []string{"jane", "kim", "nobody"} {
			if _, err := member.authenticate(gone, user, "wrong"); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %s is refused without looking at a hash: %v", name, user, err)
			}
			if _, err := member.authenticate(t.Context(), user, "wrong"); !errors.Is(err, userfile.ErrRefused) {
				t.Errorf("%s: %s is told %v", name, user, err)
			}
		}
		if response, err := member.authenticate(gone, "jane", "plain"); err != nil || response.User.GetName() != "jane" {
			t.Errorf("%s: jane is not let in by her password: %v", name, err)
		}
	}
	if _, err := passwordFiles(t, "jane:plain\n").authenticate(gone, "nobody", "wrong"); !errors.Is(err, userfile.ErrRefused) {
		t.Errorf("where there are no hashes, nobody is told %v", err)
	}
}
