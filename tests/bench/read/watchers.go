package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// watchTimeout bounds one measurement.
const watchTimeout = 5 * time.Minute

// watching is the client side of one measurement of watches.
type watching struct {
	left, received atomic.Int64
	// arrivals is when each watcher had its events; each watcher appends to its own.
	arrivals [][]int64
	// done closes when none is left.
	done chan struct{}
}

// watch calls ready when all watches are open, and returns when all events have come.
func (j job) watch(ready func() error) (outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), watchTimeout)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	w := &watching{arrivals: make([][]int64, j.Watchers), done: make(chan struct{})}
	w.left.Store(int64(j.Events))
	var client *http.Client
	for watcher := range j.Watchers {
		if watcher%j.PerConnection == 0 {
			client = newHTTPClient()
			defer client.CloseIdleConnections()
		}
		response, err := j.open(ctx, client)
		if err != nil {
			return outcome{}, err
		}
		all.Go(func() { w.follow(watcher, response.Body) })
	}
	if err := ready(); err != nil {
		return outcome{}, err
	}
	select {
	case <-w.done:
		return outcome{Bytes: w.received.Load(), Arrivals: w.arrivals}, nil
	case <-ctx.Done():
		return outcome{}, fmt.Errorf("%d events have not come", w.left.Load())
	}
}

// follow counts the events of one watch, which are lines, until the watch ends.
func (w *watching) follow(watcher int, body io.ReadCloser) {
	defer body.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			w.count(watcher, n, bytes.Count(buffer[:n], []byte("\n")))
		}
		if err != nil {
			return
		}
	}
}

func (w *watching) count(watcher, size, events int) {
	w.received.Add(int64(size))
	now := time.Now().UnixNano()
	for range events {
		w.arrivals[watcher] = append(w.arrivals[watcher], now)
	}
	if events > 0 && w.left.Add(-int64(events)) == 0 {
		close(w.done)
	}
}
