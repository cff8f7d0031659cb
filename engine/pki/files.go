package pki

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"gatehouse/engine/datadir"
)

// maxFileSize is more than keys, certificates and a kubeconfig with many contexts take.
const maxFileSize = 4 << 20

// othersMask are the bits of a mode that let others than the owner in.
const othersMask fs.FileMode = 0o077

// readFile reads the file at path. Of one with private keys in it, it makes sure that nobody else can read it.
func readFile(path string, private bool) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %w", pathError(err))
	}
	defer func() { _ = file.Close() }() // Only read.
	if private {
		info, err := file.Stat()
		if err != nil {
			return nil, fmt.Errorf("cannot read %w", pathError(err))
		}
		if err := checkPrivate(path, info); err != nil {
			return nil, err
		}
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFileSize))
	if err != nil {
		return nil, fmt.Errorf("cannot read %w", pathError(err))
	}
	return content, nil
}

// pathError drops the operation from a PathError ("open x: denied"), which the sentence around it names already.
func pathError(err error) error {
	var cause *fs.PathError
	if !errors.As(err, &cause) {
		return err
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: %w; run gatehouse as the user that owns the data directory", cause.Path, cause.Err)
	}
	return fmt.Errorf("%s: %w", cause.Path, cause.Err)
}

// checkPrivate refuses a file of private keys that others can get at.
func checkPrivate(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&othersMask != 0 {
		return fmt.Errorf("%s holds a private key, but its mode %#o lets other users at it; run `chmod %o %s`, "+
			"and replace the key if somebody may have read it", path, mode, datadir.PrivateMode, path)
	}
	return nil
}

// checkDir refuses a directory of private keys that others can get into.
func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("cannot read %w", pathError(err))
	}
	if mode := info.Mode().Perm(); mode&othersMask != 0 {
		return fmt.Errorf("directory %s holds private keys, but its mode %#o lets other users in; run `chmod %o %s`",
			dir, mode, datadir.DirMode, dir)
	}
	return nil
}
