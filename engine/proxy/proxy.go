// Package proxy connects the server with nodes, pods and services, for the requests that it passes on to them: logs, exec,
// attach, port-forward and the proxy subresources. What is asked of whom, and how streams are translated, is upstream's; here
// are the transports that upstream's handlers use, and what ends the connections that they take over.
package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

const (
	// dialTimeout and handshakeTimeout are upstream's, for those that are not there.
	dialTimeout      = 30 * time.Second
	handshakeTimeout = 10 * time.Second
	// keepAlive finds out about those that have vanished.
	keepAlive = 30 * time.Second
	// idlePerHost is how many connections to a node are kept for the next requests (upstream's number). They are closed when
	// they have idled for a minute and a half.
	idlePerHost = 25
)

// Options say how kubelets are reached.
type Options struct {
	// ClientCertificate is what kubelets are shown, ServingCertificate what this server shows to its clients. Whoever is where a node
	// says that its kubelet is, and shows that, is this server itself, to which requests must not come by another's certificate. Both
	// are asked for each connection.
	ClientCertificate, ServingCertificate func() *tls.Certificate
	// Authorities are those of kubelets' serving certificates, another pool after each change. Nil means that kubelets are not
	// verified.
	Authorities func() *x509.CertPool
}

// Transports reach nodes, pods and services. They are safe for concurrent use.
type Transports struct {
	// Kubelets verifies kubelets if there are authorities, UnverifiedKubelets never does: a client that reads logs can ask for that.
	Kubelets, UnverifiedKubelets http.RoundTripper
	// Endpoints is for what is proxied to pods, services and other ports of nodes. Their certificates are not verified, since
	// they are found by address, nor are they shown one.
	Endpoints *http.Transport
}

// New makes the transports. Close them when no request is under way any more.
func New(options Options) *Transports {
	unverified := options.kubeletTLS()
	unverified.InsecureSkipVerify = true
	toUnverified := newTransport(unverified)
	t := &Transports{
		Kubelets:           toUnverified,
		UnverifiedKubelets: toUnverified,
		Endpoints:          newTransport(&tls.Config{InsecureSkipVerify: true}),
	}
	if options.Authorities != nil {
		t.Kubelets = &verifying{authorities: options.Authorities, config: options.kubeletTLS()}
	}
	return t
}

// errOurselves is what becomes of requests that a node has sent to this server itself.
var errOurselves = errors.New("this server is where the node says that its kubelet is: correct the node's addresses and kubelet port")

// kubeletTLS is how connections with kubelets are made, but for whom is trusted.
func (o Options) kubeletTLS() *tls.Config {
	return &tls.Config{
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return o.ClientCertificate(), nil },
		// It is called before the client's certificate is sent.
		VerifyConnection: func(state tls.ConnectionState) error {
			if state.PeerCertificates[0].Equal(o.ServingCertificate().Leaf) {
				return errOurselves
			}
			return nil
		},
	}
}

// Close closes connections that nobody uses.
func (t *Transports) Close() {
	for _, transport := range []http.RoundTripper{t.Kubelets, t.UnverifiedKubelets, t.Endpoints} {
		utilnet.CloseIdleConnectionsFor(transport)
	}
}

func newTransport(config *tls.Config) *http.Transport {
	config.MinVersion = tls.VersionTLS12
	return utilnet.SetTransportDefaults(&http.Transport{
		DialContext:         dial,
		TLSHandshakeTimeout: handshakeTimeout,
		TLSClientConfig:     config,
		MaxIdleConnsPerHost: idlePerHost,
	})
}

// dial connects, for a stream (Streams) for no longer than that lasts.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	connection, err := dialer.DialContext(ctx, network, address)
	if err == nil {
		endWith(streamOf(ctx), connection)
	}
	return connection, err
}

// verifying is a transport whose authorities change. Upstream's handlers find the dialer and the TLS configuration for upgraded
// connections in what it wraps at that moment.
type verifying struct {
	authorities func() *x509.CertPool
	config      *tls.Config // but for the authorities

	changing sync.Mutex // held while current is replaced
	current  atomic.Pointer[trusting]
}

// trusting is a transport that trusts one pool of authorities.
type trusting struct {
	pool      *x509.CertPool
	transport *http.Transport
}

var _ utilnet.RoundTripperWrapper = (*verifying)(nil)

// RoundTrip implements http.RoundTripper.
func (v *verifying) RoundTrip(r *http.Request) (*http.Response, error) {
	return v.transport().RoundTrip(r)
}

// WrappedRoundTripper implements utilnet.RoundTripperWrapper.
func (v *verifying) WrappedRoundTripper() http.RoundTripper { return v.transport() }

// transport is one that trusts the authorities of now. What its predecessor has under way goes on.
func (v *verifying) transport() *http.Transport {
	pool := v.authorities()
	if now := v.current.Load(); now != nil && now.pool == pool {
		return now.transport
	}
	v.changing.Lock()
	defer v.changing.Unlock()
	before := v.current.Load()
	if before != nil && before.pool == pool {
		return before.transport
	}
	config := v.config.Clone()
	config.RootCAs = pool
	next := &trusting{pool, newTransport(config)}
	v.current.Store(next)
	if before != nil {
		before.transport.CloseIdleConnections()
	}
	return next.transport
}
