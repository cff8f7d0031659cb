package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
)

// longestPause is the longest pause between two looks at something that is waited for.
const longestPause = 50 * time.Millisecond

// Poll calls try, at growing intervals, until it returns nil or ctx ends; then it returns try's last error. An error made by
// Hopeless ends it at once.
func Poll(ctx context.Context, try func() error) error {
	for pause := time.Millisecond; ; pause = min(2*pause, longestPause) {
		err := try()
		if err == nil || IsHopeless(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// Hopeless marks an error that no patience helps against.
func Hopeless(err error) error { return hopeless{err} }

// IsHopeless tells whether an error was made by Hopeless.
func IsHopeless(err error) bool {
	var end hopeless
	return errors.As(err, &end)
}

type hopeless struct{ error }

func (h hopeless) Unwrap() error { return h.error }

// WaitReady waits until /readyz answers 200.
func (p *Process) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.options.Patience)
	defer cancel()
	var client *http.Client
	err := Poll(ctx, func() (err error) {
		select {
		case <-p.exited:
			return Hopeless(fmt.Errorf("it ended: %v", p.command.ProcessState))
		default:
		}
		if client == nil {
			if client, err = p.connect(); err != nil {
				return err
			}
		}
		return askReady(ctx, client, p.address)
	})
	if client != nil {
		client.CloseIdleConnections()
	}
	if err != nil {
		return fmt.Errorf("wait for the server to be ready: %w; Log tells more", err)
	}
	return nil
}

// connect finds out where the server listens, and makes a client for it.
func (p *Process) connect() (*http.Client, error) {
	address, err := p.announced()
	if err != nil {
		return nil, err
	}
	p.address = address
	config, err := p.ClientConfig()
	if err != nil {
		return nil, err
	}
	return rest.HTTPClientFor(config)
}

// announced reads from the data directory's lock file where this process, not one before it, listens.
func (p *Process) announced() (string, error) {
	text, err := os.ReadFile(filepath.Join(p.options.DataDir, "lock"))
	if err != nil {
		return "", err
	}
	var holder struct {
		PID    int    `json:"pid"`
		Listen string `json:"listen"`
	}
	if err := json.Unmarshal(text, &holder); err != nil {
		return "", fmt.Errorf("read who holds the data directory: %w", err)
	}
	if holder.PID != p.PID() || holder.Listen == "" {
		return "", errors.New("it has not said yet where it listens")
	}
	return holder.Listen, nil
}

func askReady(ctx context.Context, client *http.Client, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/readyz", nil)
	if err != nil {
		return Hopeless(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s: %s", response.Status, body)
	}
	return nil
}
