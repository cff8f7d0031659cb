package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// frontProxyDir is where the authority of front proxies is.
const frontProxyDir = "front-proxy"

// FrontProxyName is the common name by which other servers know this one as a proxy, as in clusters that kubeadm made.
const FrontProxyName = "front-proxy-client"

// FrontProxyCAPEM is the authority that vouches for this server where it stands in front of another as a proxy, and says in
// headers who it is that asks. It is one of its own, for whoever has a certificate of it can be anybody there. The other
// servers of a cluster, the controller manager and the scheduler among them, look for it as soon as they start.
func (b *Bundle) FrontProxyCAPEM() []byte { return append([]byte(nil), b.frontProxies.pem...) }

// openFrontProxies reads the authority of front proxies, or makes it.
func (b *Bundle) openFrontProxies() (*authority, error) {
	dir := b.path(frontProxyDir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the directory of keys %w", pathError(err))
	}
	if len(entries) == 0 {
		if err := makeAuthority(dir, "gatehouse-front-proxy-ca", b.now()); err != nil {
			return nil, fmt.Errorf("cannot make an authority for front proxies: %w", err)
		}
		b.request.Logger.Info("made a certificate authority for front proxies", "directory", dir)
	}
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	return loadAuthority(dir, fmt.Sprintf("remove directory %s to have a new one made", dir), b.now())
}
