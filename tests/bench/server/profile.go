package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"k8s.io/client-go/rest"
)

// profile has the server profile itself while it creates pods, where it offers that, and writes what it answers to the plan's
// file. Without a file it does nothing.
func profile(ctx context.Context, administrator *rest.Config, p plan) error {
	if p.profile == "" {
		return nil
	}
	c, err := newClient(administrator)
	if err != nil {
		return err
	}
	defer c.close()
	url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%.0f", c.host, p.creates.Seconds())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("profile the server: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("profile the server: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("profile the server: it offers no profiles: %s", response.Status)
	}
	return os.WriteFile(p.profile, text, 0o644)
}
