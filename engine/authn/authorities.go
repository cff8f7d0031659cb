package authn

import (
	"crypto/x509"
	"fmt"
	"sync/atomic"

	"k8s.io/client-go/util/cert"

	"gatehouse/engine/files"
)

// Authorities are certificates that vouch for others, those of PEM files and some besides. It is safe for concurrent use.
type Authorities struct {
	besides []*x509.Certificate
	files   []*files.File[[]*x509.Certificate]
	pool    atomic.Pointer[x509.CertPool]
}

// OpenAuthorities reads the files at paths, each of which must hold a certificate. besides, in PEM, can be empty.
func OpenAuthorities(set *files.Set, paths []string, besides []byte) (*Authorities, error) {
	a := &Authorities{}
	if len(besides) > 0 {
		var err error
		if a.besides, err = cert.ParseCertsPEM(besides); err != nil {
			return nil, fmt.Errorf("read certificate authorities: %w", err)
		}
	}
	for _, path := range paths {
		file, err := files.Open(set, path, cert.ParseCertsPEM)
		if err != nil {
			return nil, fmt.Errorf("read certificate authorities: %w", err)
		}
		file.OnChange(a.gather)
		a.files = append(a.files, file)
	}
	a.gather()
	return a, nil
}

// gather is called when a file has changed; the set calls one such function at a time.
func (a *Authorities) gather() {
	pool := x509.NewCertPool()
	for _, certificate := range a.All() {
		pool.AddCert(certificate)
	}
	a.pool.Store(pool)
}

// All are the certificates.
func (a *Authorities) All() []*x509.Certificate {
	all := a.besides[:len(a.besides):len(a.besides)]
	for _, file := range a.files {
		all = append(all, file.Get()...)
	}
	return all
}

// Pool are the certificates. It is another one after each change, and not to be written to.
func (a *Authorities) Pool() *x509.CertPool { return a.pool.Load() }
