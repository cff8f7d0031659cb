package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// job is what the clients are to do: some requests, or with Watchers, as many watches until Events have come in all, with
// PerConnection of them on each connection.
type job struct {
	URL, Accept                     string
	Requests, Together              int
	Watchers, PerConnection, Events int
}

// outcome answers a job. A watching job is answered twice: when all watch, and when all events have come.
type outcome struct {
	Bytes int64
	Error string
	// Arrivals is when each watcher had its events, in Unix nanoseconds.
	Arrivals [][]int64
}

// clients is the process of the clients.
type clients struct {
	process *exec.Cmd
	jobs    io.WriteCloser
	encoder *json.Encoder
	decoder *json.Decoder
}

func startClients() (*clients, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &clients{process: exec.Command(self, "-client")}
	c.process.Stderr = os.Stderr
	if c.jobs, err = c.process.StdinPipe(); err != nil {
		return nil, err
	}
	answers, err := c.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.encoder, c.decoder = json.NewEncoder(c.jobs), json.NewDecoder(answers)
	return c, c.process.Start()
}

// close ends the process, which does when there are no more jobs.
func (c *clients) close() error {
	if err := c.jobs.Close(); err != nil {
		return err
	}
	return c.process.Wait()
}

func (c *clients) do(j job) (outcome, error) {
	if err := c.encoder.Encode(j); err != nil {
		return outcome{}, err
	}
	return c.receive()
}

func (c *clients) receive() (outcome, error) {
	var o outcome
	if err := c.decoder.Decode(&o); err != nil {
		return o, err
	}
	if o.Error != "" {
		return o, fmt.Errorf("client: %s", o.Error)
	}
	return o, nil
}

// serveJobs is the clients' main.
func serveJobs(jobs io.Reader, answers io.Writer) error {
	decoder, encoder := json.NewDecoder(jobs), json.NewEncoder(answers)
	for {
		var j job
		if err := decoder.Decode(&j); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var o outcome
		var err error
		if j.Watchers > 0 {
			o, err = j.watch(func() error { return encoder.Encode(outcome{}) })
		} else {
			o.Bytes, err = j.read()
		}
		if err != nil {
			o.Error = err.Error()
		}
		if err := encoder.Encode(o); err != nil {
			return err
		}
	}
}

func newHTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
	}}
}

func (j job) open(ctx context.Context, client *http.Client) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.URL, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", j.Accept)
	response, err := client.Do(request)
	if err == nil && response.StatusCode != http.StatusOK {
		response.Body.Close()
		err = fmt.Errorf("%s: %s", j.URL, response.Status)
	}
	return response, err
}

// read sends the requests and returns how many bytes came back.
func (j job) read() (int64, error) {
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	var left, received atomic.Int64
	var failure atomic.Pointer[error]
	left.Store(int64(j.Requests))
	for range j.Together {
		all.Go(func() {
			for left.Add(-1) >= 0 && failure.Load() == nil {
				n, err := j.readOne(client)
				received.Add(n)
				if err != nil {
					failure.Store(&err)
				}
			}
		})
	}
	all.Wait()
	if err := failure.Load(); err != nil {
		return 0, *err
	}
	return received.Load(), nil
}

func (j job) readOne(client *http.Client) (int64, error) {
	response, err := j.open(context.Background(), client)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return io.Copy(io.Discard, response.Body)
}

// processCPU is the CPU time that this process has used.
func processCPU() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, err
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
