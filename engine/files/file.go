package files

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// maxSize is more than any file of users, keys or policies takes.
const maxSize = 16 << 20

// File is what a file holds, as its reader understands it. Its methods are safe for concurrent use.
type File[T any] struct {
	path  string
	read  func(content []byte) (T, error)
	value atomic.Pointer[T]

	// tried is the digest of what was last read, or the error of reading it. It belongs to the set's goroutine.
	tried string

	mu      sync.Mutex
	changed []func() // guarded by mu
}

// Open reads the file at path, and again whenever it changes, until the set is closed. read makes sense of its content, which
// it may keep; its errors must not quote secrets, and name lines with AtLine. That the file is missing or cannot be
// understood is an error here, and later one that is logged.
func Open[T any](set *Set, path string, read func(content []byte) (T, error)) (*File[T], error) {
	f := &File[T]{path: path, read: read}
	value, tried, err := f.load()
	if err != nil {
		return nil, err
	}
	f.tried = tried
	f.value.Store(&value)
	set.Watch(path, func() { f.look(set) })
	return f, nil
}

// Path is where the file is.
func (f *File[T]) Path() string { return f.path }

// Get returns what the file holds now, or held before it was broken. It takes no lock.
func (f *File[T]) Get() T { return *f.value.Load() }

// OnChange has changed called after each change that Get shows, on the set's goroutine.
func (f *File[T]) OnChange(changed func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed = append(f.changed, changed)
}

// look reads the file anew if it is not what it was.
func (f *File[T]) look(set *Set) {
	before := f.tried
	content, tried, err := f.content()
	if tried == before {
		return
	}
	f.tried = tried
	var value T
	if err == nil {
		value, err = f.understand(content)
	}
	if err != nil {
		set.logger.Error("a file has changed and cannot be used; what it held before stays in use", "error", err)
		return
	}
	f.value.Store(&value)
	set.logger.Info("read a changed file", "file", f.path)
	f.mu.Lock()
	changed := slices.Clone(f.changed)
	f.mu.Unlock()
	for _, tell := range changed {
		tell()
	}
}

func (f *File[T]) load() (value T, tried string, err error) {
	content, tried, err := f.content()
	if err != nil {
		return value, tried, err
	}
	value, err = f.understand(content)
	return value, tried, err
}

// content reads the file, and tells by tried whether it is what it was.
func (f *File[T]) content() (content []byte, tried string, err error) {
	if content, err = readAll(f.path); err != nil {
		return nil, err.Error(), err
	}
	digest := sha256.Sum256(content)
	return content, string(digest[:]), nil
}

func readAll(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %w", withoutOperation(err))
	}
	defer func() { _ = file.Close() }() // only read
	content, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %w", withoutOperation(err))
	}
	if len(content) > maxSize {
		return nil, fmt.Errorf("cannot read %s: it is larger than %d MiB", path, maxSize>>20)
	}
	return content, nil
}

// withoutOperation drops the operation from a PathError ("open x: denied"), which the sentence around it names already.
func withoutOperation(err error) error {
	var cause *fs.PathError
	if errors.As(err, &cause) {
		return fmt.Errorf("%s: %w", cause.Path, cause.Err)
	}
	return err
}

// understand calls read, and puts the file's name before what it says.
func (f *File[T]) understand(content []byte) (value T, err error) {
	value, err = f.read(content)
	var at *lineError
	switch {
	case errors.As(err, &at):
		return value, fmt.Errorf("%s:%d: %w", f.path, at.line, at.cause)
	case err != nil:
		return value, fmt.Errorf("%s: %w", f.path, err)
	}
	return value, nil
}

// AtLine says that err is about the line, counted from 1.
func AtLine(line int, err error) error { return &lineError{line, err} }

type lineError struct {
	line  int
	cause error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.cause) }

func (e *lineError) Unwrap() error { return e.cause }
