//go:build unix

package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mattn/go-sqlite3"

	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
)

const ioErrorDir = "GATEHOUSE_TEST_IOERROR_DIR"

// TestWriteErrorEndsWriting runs a store in a process that may write files of 300 KB only; the kernel then fails its
// writes as a broken disk would. Afterwards, without the limit, everything that was acknowledged must be there.
func TestWriteErrorEndsWriting(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestWriteErrorChild$", "-test.v")
	child.Env = append(os.Environ(), ioErrorDir+"="+dir)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	acknowledged := strings.Count(string(out), "acknowledged")
	s := open(t, dir, sqlite.Options{Retention: -1})
	result, err := s.Range(t.Context(), storage.RangeRequest{CountOnly: true})
	check(t, err)
	if acknowledged < 5 || result.Count != int64(acknowledged) || result.Revision != int64(1+acknowledged) {
		t.Errorf("%d writes were acknowledged; there are %d keys at revision %d",
			acknowledged, result.Count, result.Revision)
	}
}

// TestWriteErrorChild is the process that TestWriteErrorEndsWriting starts.
func TestWriteErrorChild(t *testing.T) {
	dir := os.Getenv(ioErrorDir)
	if dir == "" {
		t.Skip("it runs inside TestWriteErrorEndsWriting")
	}
	limit := syscall.Rlimit{Cur: 300_000, Max: 300_000}
	check(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "store.db"), sqlite.Options{Retention: -1})
	check(t, err)
	put := func(n int) error {
		_, _, err := s.Apply(t.Context(), storage.Write{Key: fmt.Sprint(n), Value: make([]byte, 5000)})
		return err
	}
	n := 0
	for err == nil {
		if err = put(n); err == nil {
			fmt.Println("acknowledged", n)
			n++
		}
	}
	var failure sqlite3.Error
	if !errors.As(err, &failure) || failure.Code != sqlite3.ErrIoErr {
		t.Fatalf("after %d writes: %v", n, err)
	}
	if again := put(n); again == nil || s.Healthy() == nil {
		t.Errorf("the next write gives %v, Healthy %v", again, s.Healthy())
	}
	result, err := s.Range(t.Context(), storage.RangeRequest{})
	check(t, err)
	if len(result.Items) != n || revisionOf(t, s) != int64(1+n) {
		t.Errorf("%d items at revision %d are left of %d", len(result.Items), revisionOf(t, s), n)
	}
	if err := s.Close(); err != nil {
		t.Logf("closing: %v", err)
	}
}
