package capability

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HTTPGrant lets a plugin make HTTP requests. They go through no proxy, and to public addresses alone unless Networks says otherwise.
type HTTPGrant struct {
	// URLs are what it may fetch: all below each of these, redirects included. There are no wildcards.
	URLs []string `json:"urls"`
	// Methods are those that it may use; GET and HEAD when left out.
	Methods []string `json:"methods,omitempty"`
	// Networks are those whose addresses it may connect to although they are not public: private ones, the machine's own, and those
	// at which clouds tell machines their secrets.
	Networks []string `json:"networks,omitempty"`
	// Authorities are those, as PEM, that servers' certificates must be of; the system's when left out.
	Authorities string `json:"authorities,omitempty"`
	// Timeout bounds one request; DefaultTimeout when left out. The deadline of the plugin's call ends it as well.
	Timeout metav1.Duration `json:"timeout,omitempty"`
	// MaxBytes is how long the body of a response may be; DefaultMaxBytes when left out.
	MaxBytes resource.Quantity `json:"maxBytes,omitempty"`
}

const (
	// maxRedirects is how many are followed.
	maxRedirects = 5
	// maxResponseHeader is how many bytes the header of a response may have.
	maxResponseHeader = 64 << 10
	// idleConnections is how many connections are kept for a plugin's next request, and idleConnection for how long; they are not
	// kept longer by anything else, so that a plugin that has gone leaves none.
	idleConnections = 4
	idleConnection  = 10 * time.Second
)

// fetcher answers http.fetch for one plugin.
type fetcher struct {
	places   []place
	methods  []string
	timeout  time.Duration
	maxBytes int64
	// client follows redirects, staying does not.
	client, staying *http.Client
}

// fetchRequest is the payload of http.fetch.
type fetchRequest struct {
	URL string `json:"url"`
	// Method is GET when left out.
	Method  string              `json:"method"`
	Headers map[string][]string `json:"headers"`
	// Body is text, BodyBase64 anything; at most one of them is given.
	Body       string `json:"body"`
	BodyBase64 []byte `json:"bodyBase64"`
	// FollowRedirects is true when left out; otherwise a redirect is the answer.
	FollowRedirects *bool `json:"followRedirects"`
}

// fetchAnswer is the answer. The body is in Body if it is text, and otherwise in BodyBase64.
type fetchAnswer struct {
	Status     int                 `json:"status"`
	Headers    map[string][]string `json:"headers"`
	Body       string              `json:"body,omitempty"`
	BodyBase64 []byte              `json:"bodyBase64,omitempty"`
}

func newFetcher(grant *HTTPGrant) (*fetcher, error) {
	f := &fetcher{methods: grant.Methods}
	if len(grant.URLs) == 0 {
		return nil, errors.New("urls: is empty, so nothing could be fetched: name some, or leave out http")
	}
	for i, text := range grant.URLs {
		p, err := parsePlace(text)
		if err != nil {
			return nil, fmt.Errorf("urls[%d]: %q %w", i, text, err)
		}
		f.places = append(f.places, p)
	}
	if grant.Methods == nil {
		f.methods = []string{http.MethodGet, http.MethodHead}
	}
	for i, method := range f.methods {
		if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, method) {
			return nil, fmt.Errorf("methods[%d]: %q is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", i, method)
		}
	}
	allowed, err := parseNetworks(grant.Networks)
	if err != nil {
		return nil, err
	}
	roots, err := authorities(grant.Authorities)
	if err != nil {
		return nil, err
	}
	if f.timeout, err = timeAtMost("timeout", grant.Timeout, DefaultTimeout, mostTime); err != nil {
		return nil, err
	}
	if f.maxBytes, err = bytesAtMost("maxBytes", grant.MaxBytes, DefaultMaxBytes); err != nil {
		return nil, err
	}
	connections := transport(allowed, roots)
	f.client = &http.Client{Transport: connections, CheckRedirect: f.redirect}
	f.staying = &http.Client{Transport: connections, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return f, nil
}

// authorities are nil, the system's, when there is no text.
func authorities(text string) (*x509.CertPool, error) {
	if text == "" {
		return nil, nil
	}
	certificates, err := parsePEM(text)
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	pool := x509.NewCertPool()
	for _, certificate := range certificates {
		pool.AddCert(certificate)
	}
	return pool, nil
}

// transport connects to no other addresses than those, whatever a name leads to and whatever the environment says of proxies.
func transport(allowed networks, roots *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{ControlContext: allowed.control}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           idleConnections,
		IdleConnTimeout:        idleConnection,
		TLSHandshakeTimeout:    mostTime,
		MaxResponseHeaderBytes: maxResponseHeader,
	}
}

// fetch makes a request and answers with the response, whatever its status.
func (f *fetcher) fetch(ctx context.Context, payload []byte) ([]byte, error) {
	var asked fetchRequest
	if err := decode(payload, &asked); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("it took longer than the timeout of %s", f.timeout))
	defer cancel()
	request, err := f.request(ctx, asked)
	if err != nil {
		return nil, err
	}
	client := f.client
	if asked.FollowRedirects != nil && !*asked.FollowRedirects {
		client = f.staying
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, late(ctx, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, f.maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the response: %w", late(ctx, err))
	}
	if int64(len(body)) > f.maxBytes {
		return nil, fmt.Errorf("the response has more than the %d bytes of capabilities.http.maxBytes", f.maxBytes)
	}
	answer := fetchAnswer{Status: response.StatusCode, Headers: response.Header}
	if utf8.Valid(body) {
		answer.Body = string(body)
	} else {
		answer.BodyBase64 = body
	}
	return encode(answer)
}

// late tells an error that came of ctx's end as what has ended it.
func late(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return err
	case errors.Is(cause, context.DeadlineExceeded):
		return errors.New("it was not done when the plugin's call had to be: see limits.deadline of its YAML file")
	default:
		return cause
	}
}

func (f *fetcher) request(ctx context.Context, asked fetchRequest) (*http.Request, error) {
	u, err := parseURL(asked.URL)
	if err != nil {
		return nil, fmt.Errorf("the URL %q %w", asked.URL, err)
	}
	if err := f.allow(u); err != nil {
		return nil, err
	}
	method := asked.Method
	if method == "" {
		method = http.MethodGet
	}
	if !slices.Contains(f.methods, method) {
		return nil, fmt.Errorf("the method %q is not granted to this plugin: add it to capabilities.http.methods of its YAML file", method)
	}
	if asked.Body != "" && asked.BodyBase64 != nil {
		return nil, errors.New("body and bodyBase64 are both there")
	}
	body := asked.BodyBase64
	if asked.Body != "" {
		body = []byte(asked.Body)
	}
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "gatehouse")
	for name, values := range asked.Headers {
		if err := checkHeader(name, values); err != nil {
			return nil, err
		}
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	return request, nil
}

// allow is nil if the URL is below one of those that are granted.
func (f *fetcher) allow(u *url.URL) error {
	if slices.ContainsFunc(f.places, func(p place) bool { return p.has(u) }) {
		return nil
	}
	return fmt.Errorf("the URL %s://%s%s is not granted to this plugin: add it, or what it is below, to capabilities.http.urls of its YAML file",
		u.Scheme, u.Host, u.EscapedPath())
}

// redirect follows to where the plugin could have gone by itself. Another origin does not get to see the headers meant for the first.
func (f *fetcher) redirect(next *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	u, err := parseURL(next.URL.String())
	if err != nil {
		return fmt.Errorf("a redirect to a URL that %w", err)
	}
	if err := f.allow(u); err != nil {
		return fmt.Errorf("a redirect: %w", err)
	}
	if !slices.Contains(f.methods, next.Method) {
		return fmt.Errorf("a redirect by the method %s, which is not granted to this plugin", next.Method)
	}
	if first := via[0].URL; u.Scheme != first.Scheme || hostOf(u) != hostOf(first) {
		next.Header = http.Header{"User-Agent": next.Header["User-Agent"]}
		if next.Body != nil && next.Body != http.NoBody {
			return errors.New("a redirect of a request's body to another origin")
		}
	}
	return nil
}

// checkHeader refuses what would change where a request ends, whom it reaches or how it is carried.
func checkHeader(name string, values []string) error {
	if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
		return fmt.Errorf("the header %q, or one of its values, is none", name)
	}
	lower := strings.ToLower(name)
	if strings.HasPrefix(lower, "proxy-") || slices.Contains([]string{"host", "connection", "content-length", "transfer-encoding", "upgrade", "trailer",
		"te", "keep-alive", "expect", "accept-encoding"}, lower) {
		return fmt.Errorf("the header %q is the server's to set", name)
	}
	return nil
}
