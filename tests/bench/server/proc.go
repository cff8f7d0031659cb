package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU times in /proc (proc(5), sysconf(_SC_CLK_TCK)), the same on all Linux systems.
const clockTick = 10 * time.Millisecond

// memory is a process's, in megabytes (10^6 bytes).
type memory struct {
	// anonymous is what only the process's writing has made, and nothing but swap could take back. resident counts the pages of
	// the binary and other files, too.
	anonymous, resident float64
}

func readMemory(pid int) (memory, error) {
	path := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
	content, err := os.ReadFile(path)
	if err != nil {
		return memory{}, fmt.Errorf("read memory: %w", err)
	}
	var used memory
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[2] != "kB" {
			continue
		}
		kilobytes, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return memory{}, fmt.Errorf("read %s: %w", path, err)
		}
		switch fields[0] {
		case "Anonymous:":
			used.anonymous = kilobytes * 1024 / 1e6
		case "Rss:":
			used.resident = kilobytes * 1024 / 1e6
		}
	}
	return used, nil
}

// readCPU is the time that a process has computed so far, in user and system mode.
func readCPU(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	// The second field is a name in parentheses, which may hold anything.
	_, rest, found := strings.Cut(string(content), ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		return 0, fmt.Errorf("read %s: not as proc(5) has it", path)
	}
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", path, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}
