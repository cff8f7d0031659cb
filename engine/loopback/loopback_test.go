package loopback_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse/engine/loopback"
)

func serving(handler http.HandlerFunc) *http.Client {
	transport := &loopback.Transport{}
	transport.Serve(handler)
	return &http.Client{Transport: transport}
}

func TestHandlerSeesTheRequestAsAServerWould(t *testing.T) {
	type seen struct {
		Method, Path, Query, RequestURI, Body, Header, Proto string
	}
	var got seen
	client := serving(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = seen{r.Method, r.URL.Path, r.URL.RawQuery, r.RequestURI, string(body), r.Header.Get("X-Sent"), r.Proto}
		w.Header().Set("X-Answered", "yes")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, "made")
	})
	request, err := http.NewRequestWithContext(t.Context(), "POST", "https://anything/api/v1/pods?dryRun=All", strings.NewReader("pod"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Sent", "too")

	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}

	want := seen{"POST", "/api/v1/pods", "dryRun=All", "/api/v1/pods?dryRun=All", "pod", "too", "HTTP/2.0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if response.StatusCode != http.StatusCreated || response.Header.Get("X-Answered") != "yes" || string(body) != "made" {
		t.Errorf("response: %s %v %q", response.Status, response.Header, body)
	}
}

func TestOnlyRequestsOfTheServerItselfAreMarkedAsSuch(t *testing.T) {
	passed := make(chan bool, 1)
	handler := func(w http.ResponseWriter, r *http.Request) { passed <- loopback.Passed(r.Context()) }
	response, err := serving(handler).Get("https://anything/")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if !<-passed {
		t.Error("a request through the transport is not marked")
	}
	outside := httptest.NewServer(http.HandlerFunc(handler))
	defer outside.Close()
	if response, err = outside.Client().Get(outside.URL); err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if <-passed {
		t.Error("a request through a socket is marked as the server's own")
	}
}

func TestHandlerSeesNothingOfTheContextThatTheRequestIsMadeIn(t *testing.T) {
	type key struct{}
	seen := make(chan any, 1)
	client := serving(func(w http.ResponseWriter, r *http.Request) { seen <- r.Context().Value(key{}) })
	request, err := http.NewRequestWithContext(context.WithValue(t.Context(), key{}, "outer"), "GET", "https://anything/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if value := <-seen; value != nil {
		t.Errorf("the handler saw %v", value)
	}
}

func TestResponseArrivesWhileItIsWritten(t *testing.T) {
	next := make(chan string)
	client := serving(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		for event := range next {
			io.WriteString(w, event)
		}
	})
	response, err := client.Get("https://anything/watch")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	buffer := make([]byte, 16)
	for _, event := range []string{"first", "second"} {
		next <- event
		n, err := response.Body.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(buffer[:n]); got != event {
			t.Errorf("read %q, want %q", got, event)
		}
	}
	close(next)
	if _, err := response.Body.Read(buffer); err != io.EOF {
		t.Errorf("after the handler returned: %v, want EOF", err)
	}
}

func TestClosingTheBodyEndsTheHandler(t *testing.T) {
	ended := make(chan error, 1)
	client := serving(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		ended <- r.Context().Err()
	})
	response, err := client.Get("https://anything/watch")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context ended with %v", err)
	}
}

func TestEndOfTheRequestsContextEndsAHandlerThatHasNotAnswered(t *testing.T) {
	entered, ended := make(chan struct{}), make(chan struct{})
	client := serving(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(ended)
	})
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, "GET", "https://anything/", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-entered
		cancel()
	}()
	if _, err := client.Do(request); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	<-ended
}

func TestPanicOfTheHandlerEndsTheStreamAndNotTheProcess(t *testing.T) {
	client := serving(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	response, err := client.Get("https://anything/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("the body ended as if it were whole")
	}
}

func TestPanicBeforeAnAnswerFailsTheRequest(t *testing.T) {
	client := serving(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if response, err := client.Get("https://anything/"); err == nil {
		response.Body.Close()
		t.Errorf("answered %s", response.Status)
	}
}

func TestRequestBeforeServingSaysSo(t *testing.T) {
	_, err := (&http.Client{Transport: &loopback.Transport{}}).Get("https://anything/")
	if !errors.Is(err, loopback.ErrNotServing) {
		t.Errorf("got %v, want ErrNotServing", err)
	}
}
