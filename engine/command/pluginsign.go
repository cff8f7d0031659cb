package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"gatehouse/engine/datadir"
	"gatehouse/plugins/signature"
)

// publicSuffix is what the name of a public key's file has after the secret one's.
const publicSuffix = ".pub"

// signFlags are what `plugin sign` is told besides the file.
type signFlags struct {
	key, passwordFile, comment string
	generate                   bool
}

func pluginSignCommand() command {
	return command{
		name:      "plugin sign",
		arguments: []string{"FILE.wasm"},
		summary:   "sign a plugin, for servers that want that",
		details: `The signature goes to FILE.wasm.minisig, in the format of minisign; keys are minisign's, too, and can be made here:

  gatehouse plugin sign owner-label.wasm --key plugins.key --generate

That makes plugins.key, to be kept secret, and plugins.key.pub. A server whose plugins.publicKeys has the latter's second line
serves only what is signed so. With --password-file the secret key is encrypted, which takes a GiB of memory and some seconds.
`,
		flags: func(p Program, set *pflag.FlagSet) func(context.Context) error {
			var flags signFlags
			set.StringVar(&flags.key, "key", "", "the `FILE` of the secret key")
			set.StringVar(&flags.passwordFile, "password-file", "", "the `FILE` whose first line is the secret key's password")
			set.StringVar(&flags.comment, "comment", "", "a `LINE` to sign with the file; unset means the time and the file's name")
			set.BoolVar(&flags.generate, "generate", false, "make the key first; it must not be there")
			return func(context.Context) error { return p.signPlugin(set.Arg(0), flags) }
		},
	}
}

func (p Program) signPlugin(path string, flags signFlags) error {
	if flags.key == "" {
		return usageError{errors.New("say with --key where the secret key is, or with --key and --generate where to put a new one")}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("sign a plugin: %w", err)
	}
	password, err := readPassword(flags.passwordFile)
	if err != nil {
		return err
	}
	if flags.generate {
		if err := generateKey(flags.key, password); err != nil {
			return err
		}
	}
	key, err := readKey(flags.key, password)
	if err != nil {
		return err
	}
	if flags.comment == "" {
		flags.comment = fmt.Sprintf("timestamp:%d\tfile:%s\thashed", time.Now().Unix(), filepath.Base(path))
	}
	signed, err := key.Sign(content, flags.comment)
	if err != nil {
		return usageError{err}
	}
	if err := datadir.WriteFile(path+signature.Suffix, signed.File(), datadir.PublicMode); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "signed %s in %s; its public key is\n%s\n", path, path+signature.Suffix, key.Public())
	return err
}

func readPassword(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("read the password: the first line of %s is empty", path)
	}
	return line, nil
}

// generateKey makes a key pair in files that were not there.
func generateKey(path, password string) error {
	key, err := signature.Generate()
	if err != nil {
		return err
	}
	secret, err := key.File(password, signature.StrongDerivation())
	if err != nil {
		return fmt.Errorf("make a secret key: %w", err)
	}
	for _, file := range []string{path, path + publicSuffix} {
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s exists; without --generate it is used, and --key can name another file", file)
		}
	}
	if err := datadir.CreateFile(path, secret, datadir.PrivateMode); err != nil {
		return err
	}
	return datadir.CreateFile(path+publicSuffix, key.Public().File(), datadir.PublicMode)
}

func readKey(path, password string) (signature.SecretKey, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return signature.SecretKey{}, fmt.Errorf("there is no secret key %s; --generate makes one", path)
	}
	if err != nil {
		return signature.SecretKey{}, fmt.Errorf("read the secret key: %w", err)
	}
	key, err := signature.ParseSecretKey(content, password)
	switch {
	case errors.Is(err, signature.ErrPassword):
		return key, fmt.Errorf("%s: %w; --password-file names the file of the right one", path, err)
	case err != nil:
		return key, fmt.Errorf("%s is %w", path, err)
	}
	return key, nil
}
