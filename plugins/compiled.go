package plugins

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// keptCompiled is how many modules that nothing serves any more keep their compiled code on disk, so that what is taken back
// need not be compiled again.
const keptCompiled = 8

// compiledCode is the directory that keeps compiled code, in a directory of its own for each digest. The zero directory keeps none.
type compiledCode struct {
	dir    string
	logger *slog.Logger

	mu sync.Mutex // guards what follows, and that nothing is removed which comes into use
	// users counts the modules that use a digest's code, or are being compiled.
	users map[string]int
	// left are digests that nothing uses, those longest unused first.
	left []string
}

// hold keeps the code of a digest in place until it is released, and returns where it lies; "" keeps none.
func (c *compiledCode) hold(digest string) string {
	if c.dir == "" {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users[digest]++
	c.left = slices.DeleteFunc(c.left, func(d string) bool { return d == digest })
	return filepath.Join(c.dir, digest)
}

// release undoes one hold. When it was the last, the code stays for a while.
func (c *compiledCode) release(digest string) {
	if c.dir == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users[digest]--; c.users[digest] > 0 {
		return
	}
	delete(c.users, digest)
	c.left = append(c.left, digest)
	for len(c.left) > keptCompiled {
		c.remove(c.left[0])
		c.left = c.left[1:]
	}
}

// prune removes the code of modules that are no longer in the folder, which an earlier start has left.
func (c *compiledCode) prune() {
	if c.dir == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return // not made yet
	}
	for _, entry := range entries {
		if name := entry.Name(); isDigest(name) && c.users[name] == 0 && !slices.Contains(c.left, name) {
			c.remove(name)
		}
	}
}

func (c *compiledCode) remove(digest string) {
	if err := os.RemoveAll(filepath.Join(c.dir, digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.logger.Warn("cannot remove what a plugin left in the compile cache", "cause", err)
	}
}

// isDigest keeps hands off anything that is not the cache's.
func isDigest(name string) bool {
	return len(name) == 32 && strings.Trim(name, "0123456789abcdef") == ""
}
