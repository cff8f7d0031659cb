package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/bcrypt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/serviceaccount"
	"k8s.io/utils/clock"

	"gatehouse/engine/authn"
	"gatehouse/engine/authn/throttle"
	"gatehouse/engine/files"
)

const (
	certificateRemembered = "authn/certificate, seen before"
	tokenRemembered       = "authn/service account token, seen before"
	benchIssuer           = "https://kubernetes.default.svc.cluster.local"
)

// authnMembers are the ways in, each as clients take it that have come before, and some as they come first.
func authnMembers() []member {
	return []member{
		{certificateRemembered, func() (func() error, error) { return certificate(false) }},
		{"authn/certificate, verified", func() (func() error, error) { return certificate(true) }},
		{tokenRemembered, token},
		{"authn/token of a file, seen before", func() (func() error, error) {
			return listed("tokens", "t0,jane,1,\"dev,ops\"\n", "Bearer t0")
		}},
		{"authn/password", func() (func() error, error) { return password("secret") }},
		{"authn/password with a hash, seen before", func() (func() error, error) {
			hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.DefaultCost)
			if err != nil {
				return nil, err
			}
			return password(string(hash))
		}},
		{"authn/nobody, where that is open", func() (func() error, error) {
			return through(authn.New(authn.Config{Anonymous: apiserver.AnonymousAuthConfig{Enabled: true}}), nil, "")
		}},
	}
}

// through sends a request through the first gate: upstream's filter around a chain.
func through(chain *authn.Chain, connection *tls.ConnectionState, authorization string) (func() error, error) {
	passed := false
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true })
	refused := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	gate := filters.WithAuthentication(next, chain, refused, authenticator.Audiences{benchIssuer}, authn.RequestHeaders{}.Config())
	r := httptest.NewRequest(http.MethodGet, "/api/v1/namespaces/default/pods/web", nil)
	r.TLS = connection
	r = r.WithContext(request.WithRequestInfo(audit.WithAuditContext(context.Background()), &request.RequestInfo{}))
	w := httptest.NewRecorder()
	header := []string{authorization}
	return func() error {
		if authorization != "" {
			r.Header["Authorization"] = header // the filter removes it
		}
		passed = false
		wait, done := chain.Begin(r)
		if wait == 0 {
			gate.ServeHTTP(w, r)
		}
		if done != nil {
			done()
		}
		if !passed {
			return errors.New("the gate lets nobody in")
		}
		return nil
	}, nil
}

// chainOf is a chain like a server's of its own, in which most members before this one are asked in vain.
func chainOf(members ...authn.Member) *authn.Chain {
	return authn.New(authn.Config{Members: members, Limiter: throttle.New(clock.RealClock{})})
}

func certificate(forget bool) (func() error, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "jane", Organization: []string{"dev", "ops"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter}
	parse := func(template *x509.Certificate) (*x509.Certificate, error) {
		der, err := x509.CreateCertificate(rand.Reader, template, authority, &key.PublicKey, key)
		if err != nil {
			return nil, err
		}
		return x509.ParseCertificate(der)
	}
	root, err := parse(authority)
	if err != nil {
		return nil, err
	}
	client, err := parse(leaf)
	if err != nil {
		return nil, err
	}
	newPool := func() *x509.CertPool {
		pool := x509.NewCertPool()
		pool.AddCert(root)
		return pool
	}
	pool := newPool()
	member := authn.ClientCertificates(func() *x509.CertPool {
		if forget {
			return newPool() // another pool has all certificates verified anew
		}
		return pool
	})
	return through(chainOf(member), &tls.ConnectionState{PeerCertificates: []*x509.Certificate{client}}, "")
}

func token() (func() error, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	keys, err := authn.NewServiceAccountKeys(benchIssuer, key, []any{key.Public()})
	if err != nil {
		return nil, err
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "robot", UID: "u"}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web-5d4f8c7b9d-abcde", UID: "p"}}
	claims, private, err := serviceaccount.Claims(core.ServiceAccount{ObjectMeta: account.ObjectMeta},
		&core.Pod{ObjectMeta: pod.ObjectMeta}, nil, nil, nil, nil, 3600, 0, []string{benchIssuer}, nil)
	if err != nil {
		return nil, err
	}
	text, err := keys.GenerateToken(context.Background(), claims, private)
	if err != nil {
		return nil, err
	}
	member, err := authn.ServiceAccounts(keys, []string{benchIssuer}, authenticator.Audiences{benchIssuer},
		fake.NewClientset(account, pod), func() int64 { return 1 })
	if err != nil {
		return nil, err
	}
	certificates := authn.ClientCertificates(func() *x509.CertPool { return nil })
	return through(chainOf(certificates, member), &tls.ConnectionState{}, "Bearer "+text)
}

// written opens a file of users.
func written(name, content string, open func(set *files.Set, path string) (authn.Member, error)) (authn.Member, error) {
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return authn.Member{}, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return authn.Member{}, err
	}
	set := files.NewSet(slog.New(slog.DiscardHandler))
	defer set.Close() // the file does not change
	return open(set, path)
}

func listed(name, content, authorization string) (func() error, error) {
	member, err := written(name, content, func(set *files.Set, path string) (authn.Member, error) {
		return authn.TokenFiles(set, []string{path}, authenticator.Audiences{benchIssuer}, slog.New(slog.DiscardHandler))
	})
	if err != nil {
		return nil, err
	}
	return through(chainOf(member), nil, authorization)
}

func password(secret string) (func() error, error) {
	member, err := written("passwords", "jane:"+secret+"\n", func(set *files.Set, path string) (authn.Member, error) {
		return authn.PasswordFiles(set, []string{path}, slog.New(slog.DiscardHandler))
	})
	if err != nil {
		return nil, err
	}
	encoded := base64.StdEncoding.EncodeToString([]byte("jane:secret"))
	return through(chainOf(member), nil, fmt.Sprintf("Basic %s", encoded))
}
