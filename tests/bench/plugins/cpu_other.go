//go:build !linux

package main

import "time"

// threadTime is the clock where there is none for threads, so that figures are good on an idle machine only.
func threadTime() time.Duration { return time.Duration(time.Now().UnixNano()) }

// processTime is the clock, too.
func processTime() time.Duration { return threadTime() }
