// Package pki makes and keeps the keys and certificates of one server, so that HTTPS, client certificates and service
// account tokens work from the first start without anybody having to set them up.
//
// In the data directory it owns:
//
//	admin.kubeconfig        client certificate of kubernetes-admin, in group system:masters
//	pki/ca.crt, pki/ca.key  the authority that signs serving and client certificates; first certificate of ca.crt
//	                        belongs to ca.key, any others are trusted besides
//	pki/front-proxy/        another authority, ca.crt and ca.key, of those proxies that other servers are told to believe
//	pki/serving.pem         the serving certificate and its key in one file, so that they cannot come apart
//	pki/kubelet-client.pem  the same, of the certificate by which kubelets know the server
//	pki/service-account/    keys of service account tokens: the *.key file with the last name signs, all *.key and
//	                        *.pub files verify
//
// What runs out by itself is issued anew in time: the serving certificate, the one for kubelets and the one in
// admin.kubeconfig. What others rely on is never replaced: a damaged, expired or missing authority is an error that says
// what to do. An authority and service account keys of the owner's own can be put there before the first start.
//
// The authority also signs the requests of others (Sign), for whoever decides which of them are granted.
//
// Who may do what with a certificate is not decided here, see packages authn and authz. Certificates from elsewhere
// (ACME) are not made here either.
package pki

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"gatehouse/engine/datadir"
)

const (
	dirName = "pki"

	// caLifetime outlasts the machine; nobody renews an appliance's authority.
	caLifetime = 20 * 365 * 24 * time.Hour
	// caWarning is how long before its end an authority is warned about, at every start and then every caWarningInterval.
	caWarning         = 180 * 24 * time.Hour
	caWarningInterval = 24 * time.Hour
	// leafLifetime is that of the server's own certificates. They are renewed when a third of it is left.
	leafLifetime = 365 * 24 * time.Hour
	// clockSkew is how far a client's clock may be behind when it sees a certificate that was just issued.
	clockSkew = time.Hour
	// maintainInterval is how often a running server looks after its certificates. Renewal has months of time; an hour is
	// how long a machine's new address may take to get into the certificate.
	maintainInterval = time.Hour
)

// buildEpoch is before any clock that is right. A machine without a battery starts in 1970, and an authority made then
// would have expired before the clock was set.
func buildEpoch() time.Time { return time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC) }

// Request says what keys and certificates are for.
type Request struct {
	// DataDir is the data directory. It exists, and the caller holds its lock for as long as the Bundle is used.
	DataDir string
	// ServerURL is where admin.kubeconfig finds the server from this machine: "https://127.0.0.1:6443".
	ServerURL string
	// Names are DNS names and IP addresses at which clients reach the server, besides those of the host, of the Service
	// default/kubernetes, and localhost: what the configuration adds, listens on and advertises.
	Names []string
	// ServiceCIDRs are the ranges of ClusterIPs. The first address of each is that of the Service default/kubernetes.
	ServiceCIDRs []netip.Prefix

	// Host returns the host's name and addresses. Nil means ThisHost.
	Host func() (Host, error)
	// Clock tells the time. Nil means the real one.
	Clock clock.WithTicker
	// Logger hears what was issued and why. Nil means nobody does.
	Logger *slog.Logger
}

// Bundle is a server's keys and certificates, all valid when Ensure returned. Its methods can be called concurrently.
type Bundle struct {
	request         Request
	authority       *authority
	frontProxies    *authority
	serviceAccounts atomic.Pointer[serviceAccountKeys]

	refreshing sync.Mutex // held while files are looked at and written; guards warned
	warned     time.Time  // when the end of the authority was last warned about
	serving    atomic.Pointer[tls.Certificate]

	kubeletClient atomic.Pointer[tls.Certificate]
}

// Ensure reads what is in the data directory, makes what is missing, and renews what is about to run out or does not fit
// the request any more. Of files that cannot be used as they are it says which, why and what to do, and leaves them alone.
func Ensure(request Request) (*Bundle, error) {
	if request.Host == nil {
		request.Host = ThisHost
	}
	if request.Clock == nil {
		request.Clock = clock.RealClock{}
	}
	if request.Logger == nil {
		request.Logger = slog.New(slog.DiscardHandler)
	}
	b := &Bundle{request: request}
	if err := b.open(); err != nil {
		return nil, err
	}
	return b, b.Refresh()
}

func (b *Bundle) open() (err error) {
	if now := b.now(); now.Before(buildEpoch()) {
		return fmt.Errorf("this machine's clock says %s, but certificates need the right time; set the clock and start again",
			now.Format(time.DateTime))
	}
	if err := b.sweep(); err != nil {
		return err
	}
	if err := b.makeDir(); err != nil {
		return err
	}
	if b.authority, err = loadAuthority(b.dir(), fmt.Sprintf("restore it from a backup, or move directory %s away to start with a new "+
		"authority, which makes every certificate, kubeconfig and service account token of the old one useless", b.dir()), b.now()); err != nil {
		return err
	}
	if b.frontProxies, err = b.openFrontProxies(); err != nil {
		return err
	}
	keys, err := b.loadServiceAccountKeys()
	b.serviceAccounts.Store(keys)
	return err
}

// Refresh issues anew what is about to run out or does not fit the host any more. Connections notice nothing.
func (b *Bundle) Refresh() error {
	b.refreshing.Lock()
	defer b.refreshing.Unlock()
	b.warnOfEnd()
	return errors.Join(b.refreshServing(), b.refreshKubeletClient(), b.refreshKubeconfig())
}

// warnOfEnd says in time, and not too often, that the authority ends.
func (b *Bundle) warnOfEnd() {
	now, end := b.now(), b.authority.certificate.NotAfter
	if end.Sub(now) >= caWarning || now.Sub(b.warned) < caWarningInterval {
		return
	}
	b.warned = now
	b.request.Logger.Warn("the certificate authority expires soon, and with it every certificate that it has signed; before that, "+
		"stop the server, move the directory away, start again, and hand out new kubeconfigs and certificates",
		"file", b.path(caCertFile), "directory", b.dir(), "expires", end)
}

// Maintain calls Refresh from time to time until ctx ends, and logs what fails: the certificates at hand remain in use.
func (b *Bundle) Maintain(ctx context.Context) {
	ticker := b.request.Clock.NewTicker(maintainInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			if err := b.Refresh(); err != nil {
				b.request.Logger.Error("cannot refresh certificates, will try again", "error", err, "in", maintainInterval)
			}
		}
	}
}

// TLSConfig is how to serve: TLS 1.2 or later with Go's own choice of cipher suites, as kube-apiserver does, always with
// the newest certificate. HTTP/2 is preferred; HTTP/1.1 is offered because exec, attach and port-forward upgrade the
// connection to SPDY or WebSocket, for which clients need it. Client certificates are asked for, naming the authority,
// but neither demanded nor verified: the authenticator does that, and answers with a Status instead of a broken handshake.
func (b *Bundle) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return b.Serving(), nil },
		ClientAuth:     tls.RequestClientCert,
		ClientCAs:      b.authority.pool,
	}
}

// Serving is the certificate by which clients know this server, with its key. It is another one after a renewal.
func (b *Bundle) Serving() *tls.Certificate { return b.serving.Load() }

// ClientCAs are the authorities whose client certificates name users. Not to be written to.
func (b *Bundle) ClientCAs() *x509.CertPool { return b.authority.pool }

// CAPEM is the content of ca.crt, which clients need to trust the server.
func (b *Bundle) CAPEM() []byte { return append([]byte(nil), b.authority.pem...) }

// ServiceAccountSigner is the private key that signs service account tokens: an *ecdsa.PrivateKey or *rsa.PrivateKey, as
// upstream's JWTTokenGenerator takes it.
func (b *Bundle) ServiceAccountSigner() crypto.Signer { return b.serviceAccounts.Load().signer }

// ServiceAccountPublicKeys are the keys that verify service account tokens, the signer's first, as upstream's
// StaticPublicKeysGetter takes them.
func (b *Bundle) ServiceAccountPublicKeys() []any {
	return append([]any(nil), b.serviceAccounts.Load().public...)
}

// AdminKubeconfig is the path of the kubeconfig with which the owner of the data directory can do everything.
func (b *Bundle) AdminKubeconfig() string { return AdminKubeconfigPath(b.request.DataDir) }

func (b *Bundle) now() time.Time { return b.request.Clock.Now() }

func (b *Bundle) dir() string { return filepath.Join(b.request.DataDir, dirName) }

func (b *Bundle) path(name string) string { return filepath.Join(b.dir(), name) }

// sweep removes what a start that was killed did not finish.
func (b *Bundle) sweep() error {
	return errors.Join(
		datadir.RemoveLeftovers(b.request.DataDir, dirName),
		datadir.RemoveLeftovers(b.request.DataDir, adminKubeconfigFile),
	)
}

// makeDir makes the directory with an authority in it, if it is not there or empty. It appears at once and whole: a start
// that is killed leaves no authority rather than half of one.
func (b *Bundle) makeDir() error {
	entries, err := os.ReadDir(b.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read the directory of keys %w", pathError(err))
	}
	if len(entries) > 0 {
		return errors.Join(checkDir(b.dir()),
			datadir.RemoveLeftovers(b.dir(), servingFile), datadir.RemoveLeftovers(b.dir(), kubeletClientFile),
			datadir.RemoveLeftovers(b.dir(), frontProxyDir))
	}
	if err := makeAuthority(b.dir(), "gatehouse-ca", b.now()); err != nil {
		return fmt.Errorf("cannot make the directory of keys: %w", err)
	}
	b.request.Logger.Info("made a certificate authority", "file", b.path(caCertFile))
	return nil
}
