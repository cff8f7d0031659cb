package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// client is one HTTPS client on a connection of its own: client-go would share one among all of the same credentials.
type client struct {
	http *http.Client
	host string
}

func newClient(config *rest.Config) (*client, error) {
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	transport, err := rest.HTTPWrappersForConfig(config, &http.Transport{TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true})
	if err != nil {
		return nil, err
	}
	return &client{http: &http.Client{Transport: transport}, host: config.Host}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// post sends JSON that is to make an object.
func (c *client) post(ctx context.Context, path, body string) error {
	return c.do(ctx, http.MethodPost, path, body, http.StatusCreated)
}

func (c *client) get(ctx context.Context, path string) error {
	return c.do(ctx, http.MethodGet, path, "", http.StatusOK)
}

// do reads the answer to its end, without keeping it: what the client does with it is not what is measured.
func (c *client) do(ctx context.Context, method, path, body string, wanted int) error {
	request, err := http.NewRequestWithContext(ctx, method, c.host+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != wanted {
		answer, err := io.ReadAll(response.Body)
		return errors.Join(fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer), err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// repeat has clients ask again and again for a while, and returns how long each answer took. ask gets the number of the client
// and of its request. The first failure ends it.
func repeat(
	ctx context.Context, config *rest.Config, clients int, duration time.Duration,
	ask func(ctx context.Context, c *client, number, request int) error,
) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	until := time.Now().Add(duration)
	var (
		mu        sync.Mutex // guards latencies and failures
		latencies []time.Duration
		failures  []error
		running   sync.WaitGroup
	)
	for number := range clients {
		running.Go(func() {
			took, err := repeatOne(ctx, config, until, func(c *client, request int) error { return ask(ctx, c, number, request) })
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, took...)
			if err != nil {
				failures = append(failures, err)
				cancel()
			}
		})
	}
	running.Wait()
	if len(failures) == 0 && len(latencies) == 0 {
		failures = append(failures, errors.New("nothing was answered: give it more time"))
	}
	return latencies, errors.Join(failures...)
}

func repeatOne(
	ctx context.Context, config *rest.Config, until time.Time, ask func(c *client, request int) error,
) (took []time.Duration, err error) {
	c, err := newClient(config)
	if err != nil {
		return nil, err
	}
	defer c.close()
	for request := 0; time.Now().Before(until) && ctx.Err() == nil; request++ {
		began := time.Now()
		if err := ask(c, request); err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}
