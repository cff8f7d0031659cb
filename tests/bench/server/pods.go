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

	"gatehouse/tests/harness"
)

// pod is one as users write them, of about 1 KB; it wants a name.
const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,
"labels":{"app":"web","tier":"front"},"annotations":{"example.org/note":"created by a benchmark"}},
"spec":{"containers":[{"name":"web","image":"nginx:1.27","ports":[{"containerPort":80}],
"env":[{"name":"LEVEL","value":"info"},{"name":"REGION","value":"eu"}],
"resources":{"requests":{"cpu":"100m","memory":"64Mi"},"limits":{"memory":"128Mi"}},
"readinessProbe":{"httpGet":{"path":"/ready","port":80}},"volumeMounts":[{"name":"data","mountPath":"/data"}]}],
"volumes":[{"name":"data","emptyDir":{}}],"tolerations":[{"key":"edge","operator":"Exists"}]}}`

// createPods has clients create pods for a while and returns how long each creation took.
func createPods(ctx context.Context, process *harness.Process, clients int, duration time.Duration) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	until := time.Now().Add(duration)
	var (
		mu        sync.Mutex // guards latencies and failures
		latencies []time.Duration
		failures  []error
		running   sync.WaitGroup
	)
	for i := range clients {
		running.Go(func() {
			took, err := createUntil(ctx, process, fmt.Sprintf("pod-%d", i), until)
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
		failures = append(failures, errors.New("no pod was created: give it more time"))
	}
	return latencies, errors.Join(failures...)
}

func createUntil(ctx context.Context, process *harness.Process, prefix string, until time.Time) (took []time.Duration, err error) {
	client, url, err := newClient(process)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	for i := 0; time.Now().Before(until); i++ {
		began := time.Now()
		if err := create(ctx, client, url, fmt.Sprintf(pod, fmt.Sprintf("%s-%d", prefix, i))); err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// newClient has a connection of its own: client-go would share one among all clients of the same credentials.
func newClient(process *harness.Process) (*http.Client, string, error) {
	config, err := process.ClientConfig()
	if err != nil {
		return nil, "", err
	}
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, "", err
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true}
	return &http.Client{Transport: transport}, config.Host + "/api/v1/namespaces/default/pods", nil
}

func create(ctx context.Context, client *http.Client, url, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusCreated {
		return fmt.Errorf("create a pod: %s: %s", response.Status, answer)
	}
	return nil
}
