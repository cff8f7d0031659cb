package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
)

const readItems = 5000

type readResult struct {
	fileBytes, walBytes                  int64
	open, recover                        time.Duration
	all, past, one                       time.Duration
	memoryBefore, memoryOpen, memoryUsed int64
}

// reads measures a store of readItems items of 4 KiB, and 1000 updates after their creation.
func (p *plan) reads(ctx context.Context) (result readResult, err error) {
	path := filepath.Join(p.dir, "reads.db")
	if err := p.fill(ctx, path, &result); err != nil {
		return result, err
	}
	debug.FreeOSMemory()
	if result.memoryBefore, err = anonymousMemory(); err != nil {
		return result, err
	}
	from := time.Now()
	s, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return result, err
	}
	defer s.Close()
	revision, err := s.Revision(ctx)
	if err != nil {
		return result, err
	}
	result.open = time.Since(from)
	if result.memoryOpen, err = anonymousMemory(); err != nil {
		return result, err
	}
	if result.all, err = fastest(ctx, s, storage.RangeRequest{}); err != nil {
		return result, err
	}
	if result.past, err = fastest(ctx, s, storage.RangeRequest{Revision: revision - 1000}); err != nil {
		return result, err
	}
	one := storage.RangeRequest{Start: itemKey(77), End: itemKey(77) + "\x00"}
	if result.one, err = fastest(ctx, s, one); err != nil {
		return result, err
	}
	runtime.GC()
	debug.FreeOSMemory()
	result.memoryUsed, err = anonymousMemory()
	return result, err
}

// fill makes the database, and a copy of it as a crash would leave it, which is opened once.
func (p *plan) fill(ctx context.Context, path string, result *readResult) error {
	s, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	value := make([]byte, 4096)
	var failure error
	var once sync.Once
	var writers sync.WaitGroup
	for w := range 16 {
		writers.Go(func() {
			for i := w; i < readItems+1000; i += 16 {
				write := storage.Write{Key: itemKey(i % readItems), Value: value, Expected: storage.AnyRevision}
				if _, _, err := s.Apply(ctx, write); err != nil {
					once.Do(func() { failure = err })
					return
				}
			}
		})
	}
	writers.Wait()
	if failure != nil {
		return failure
	}
	if err := p.crash(ctx, path, result); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err == nil {
		result.fileBytes = info.Size()
	}
	return err
}

func (p *plan) crash(ctx context.Context, path string, result *readResult) error {
	left := filepath.Join(p.dir, "left.db")
	for _, suffix := range []string{"", "-wal"} {
		n, err := copyFile(left+suffix, path+suffix)
		if err != nil {
			return err
		}
		result.walBytes = n
	}
	from := time.Now()
	s, err := sqlite.Open(ctx, left, sqlite.Options{})
	if err != nil {
		return err
	}
	result.recover = time.Since(from)
	return s.Close()
}

func copyFile(to, from string) (int64, error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, in)
	if err != nil {
		out.Close()
		return n, err
	}
	return n, out.Close()
}

func itemKey(i int) string { return fmt.Sprintf("/registry/pods/default/pod-%06d", i*104729%1000003) }

// fastest of a few reads, so that the machine's other work does not count.
func fastest(ctx context.Context, s storage.Store, q storage.RangeRequest) (best time.Duration, err error) {
	for range 10 {
		from := time.Now()
		if _, err := s.Range(ctx, q); err != nil {
			return 0, err
		}
		if took := time.Since(from); best == 0 || took < best {
			best = took
		}
	}
	return best, nil
}

// anonymousMemory is what this process keeps that no file stands behind. Linux alone tells.
func anonymousMemory() (int64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && fields[0] == "RssAnon:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no RssAnon in /proc/self/status: %w", lines.Err())
}
