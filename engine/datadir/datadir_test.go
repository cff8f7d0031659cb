package datadir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// holdVariable makes the test binary a process that holds the data directory it names until its input ends.
const holdVariable = "DATADIR_TEST_HOLD"

func TestMain(m *testing.M) {
	if path := os.Getenv(holdVariable); path != "" {
		hold(path)
		return
	}
	os.Exit(m.Run())
}

func hold(path string) {
	dir, err := Open(path)
	if err == nil {
		err = dir.Announce("127.0.0.1:6443")
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// startHolder runs another process that holds path, and returns it once it does.
func startHolder(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(self)
	process.Env = append(os.Environ(), holdVariable+"="+path)
	if _, err := process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	if line, err := bufio.NewReader(output).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	return process
}

func TestASecondProcessIsToldWhoHoldsTheDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	holder := startHolder(t, path)

	_, err := Open(path)
	var inUse *InUseError
	if !errors.As(err, &inUse) {
		t.Fatalf("error is %v, want an InUseError", err)
	}
	for _, want := range []string{
		"data directory " + path + " is in use by gatehouse pid " + fmt.Sprint(holder.Process.Pid) + ", started 20",
		", listening on 127.0.0.1:6443; stop it or choose another --data-dir",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error is\n\t%s\nwant\n\t%s", err, want)
		}
	}
}

func TestAKilledHolderLeavesTheDirectoryFree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	holder := startHolder(t, path)
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // It was killed, and says so.

	dir, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Close(); err != nil {
		t.Error(err)
	}
}

func TestAHolderThatHasNotSaidWhoItIs(t *testing.T) {
	path := t.TempDir()
	dir, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	if err := os.WriteFile(filepath.Join(path, LockFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(path)
	if want := "data directory " + path + " is in use by another process; stop it"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestAClosedDirectoryCanBeOpenedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "not", "there", "yet")
	for range 2 {
		dir, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if dir.Path() != path {
			t.Errorf("path is %s, want %s", dir.Path(), path)
		}
		if err := dir.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wantMode(t, path, DirMode)
	wantMode(t, filepath.Join(path, LockFile), PrivateMode)
}

func TestADirectoryThatCannotBeUsedIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		_, err := Open(path)
		if want := "cannot use data directory " + path + ": "; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

func TestWriteFileReplacesContentAndMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, test := range []struct {
		content string
		mode    fs.FileMode
	}{{"first", PublicMode}, {"second, which is longer", PrivateMode}, {"3", PublicMode}} {
		if err := WriteFile(path, []byte(test.content), test.mode); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != test.content {
			t.Errorf("holds %q, %v, want %q", got, err, test.content)
		}
		wantMode(t, path, test.mode)
	}
}

func TestAWriteFileThatFailsLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "below"), DirMode); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(taken, []byte("x"), PrivateMode); err == nil || !strings.Contains(err.Error(), "cannot write "+taken) {
		t.Errorf("error is %v, want one that names %s", err, taken)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("the directory holds %v, want only %s", entries, taken)
	}
	missing := filepath.Join(dir, "missing", "file")
	if err := WriteFile(missing, nil, PrivateMode); err == nil || !strings.Contains(err.Error(), "cannot write "+missing) {
		t.Errorf("error is %v, want one that names %s", err, missing)
	}
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("mode of %s is %o, want %o", path, got, want)
	}
}
