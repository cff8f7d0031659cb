package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"

	"gatehouse/tests/harness"
)

// poll is how often a starting server is asked: little against what is measured.
const poll = 500 * time.Microsecond

// starts measures from exec to the first 200 of /readyz.
func starts(ctx context.Context, p plan, table *tabwriter.Writer) error {
	var took []time.Duration
	for i := range p.starts + 1 {
		duration, err := startOnce(ctx, p)
		if err != nil {
			return err
		}
		if i == 0 {
			fmt.Fprintf(table, "start to first 200, new data directory\t%d ms\n", duration.Milliseconds())
		} else {
			took = append(took, duration)
		}
	}
	if len(took) == 0 {
		return nil
	}
	slices.Sort(took)
	fmt.Fprintf(table, "start to first 200, existing data directory\t%d ms\tmin %d, max %d, of %d\n",
		took[len(took)/2].Milliseconds(), took[0].Milliseconds(), took[len(took)-1].Milliseconds(), len(took))
	return nil
}

// startOnce starts a server, ends it in good order, and tells how long it took from exec to the first 200.
func startOnce(ctx context.Context, p plan) (took time.Duration, err error) {
	address, err := freeAddress()
	if err != nil {
		return 0, err
	}
	p.options.Flags = []string{"--listen", address} // known beforehand, so that it can be asked from the first moment on
	process, err := harness.Launch(ctx, p.options)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, process.Log())
			_ = process.Kill() // the first error tells more
			return
		}
		err = process.Stop()
	}()
	if err := firstOK(ctx, process, "https://"+address+"/readyz"); err != nil {
		return 0, err
	}
	return time.Since(process.Started()), nil
}

// freeAddress is one that nobody listens on at the moment.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// firstOK asks until the answer is 200. The certificate is not checked: before the first start there is none to check.
func firstOK(ctx context.Context, process *harness.Process, url string) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-process.Exited():
			return fmt.Errorf("the server ended before %s answered 200", url)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
	}
}
