package plugins

import (
	"context"
	"net/http"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"

	"gatehouse/plugins/field"
	"gatehouse/plugins/sandbox"
)

// identityReview is what an authenticator is asked, to be encoded as JSON.
type identityReview interface {
	sandbox.Fields
	typeMeta() metav1.TypeMeta
	// credentials are the parts of it that no log may hold.
	credentials() []string
}

// tokenReview asks about a bearer token.
type tokenReview struct{ *authenticationv1.TokenReview }

func newTokenReview(ctx context.Context, token string) tokenReview {
	audiences, _ := authenticator.AudiencesFrom(ctx)
	return tokenReview{&authenticationv1.TokenReview{
		TypeMeta: metav1.TypeMeta{APIVersion: authenticationv1.SchemeGroupVersion.String(), Kind: "TokenReview"},
		Spec:     authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences},
	}}
}

func (r tokenReview) typeMeta() metav1.TypeMeta { return r.TypeMeta }

func (r tokenReview) credentials() []string { return []string{r.Spec.Token} }

// Field implements sandbox.Fields.
func (r tokenReview) Field(pointer string) (sandbox.Value, error) {
	return field.Lookup(r.TokenReview, pointer)
}

// requestReview asks about all of a request but its bearer token. It is a kind of ours: upstream has none.
type requestReview struct {
	metav1.TypeMeta `json:",inline"`
	Spec            requestReviewSpec `json:"spec"`
}

// requestReviewSpec is described in sdk/SPEC.md.
type requestReviewSpec struct {
	Method             string              `json:"method"`
	Path               string              `json:"path"`
	Query              string              `json:"query,omitempty"`
	Host               string              `json:"host,omitempty"`
	RemoteAddress      string              `json:"remoteAddress,omitempty"`
	Headers            map[string][]string `json:"headers,omitempty"`
	ClientCertificates [][]byte            `json:"clientCertificates,omitempty"`
	Audiences          []string            `json:"audiences,omitempty"`
}

// newRequestReview shows of a request what the configuration lets be seen.
func newRequestReview(r *http.Request, shown *requestsConfig) *requestReview {
	audiences, _ := authenticator.AudiencesFrom(r.Context())
	review := &requestReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "gatehouse.dev/v1", Kind: "RequestReview"},
		Spec: requestReviewSpec{
			Method: r.Method, Path: r.URL.Path, Host: r.Host, RemoteAddress: r.RemoteAddr, Audiences: audiences,
		},
	}
	if shown.Query {
		review.Spec.Query = r.URL.RawQuery
	}
	for _, name := range shown.Headers {
		if values := r.Header[name]; len(values) > 0 {
			if review.Spec.Headers == nil {
				review.Spec.Headers = map[string][]string{}
			}
			review.Spec.Headers[name] = values
		}
	}
	if shown.ClientCertificates && r.TLS != nil {
		for _, certificate := range r.TLS.PeerCertificates {
			review.Spec.ClientCertificates = append(review.Spec.ClientCertificates, certificate.Raw)
		}
	}
	return review
}

// takeFrom removes what a request was let in by from its headers, so that nobody whom it is passed on to can use it; upstream does
// the same with Authorization. Headers that say how to answer rather than who asks stay.
func (r *requestReview) takeFrom(header http.Header) {
	for name := range r.Spec.Headers {
		if !neededToAnswer(name) {
			header.Del(name)
		}
	}
}

// neededToAnswer reports whether the server itself goes by a header, or those that a request is passed on to have to.
func neededToAnswer(name string) bool {
	for _, beginning := range []string{"Accept", "Content-", "User-Agent", "Connection", "Upgrade", "Impersonate-", "Sec-Websocket-", "X-Stream-",
		"X-Forwarded-", "Forwarded", "Origin", "Traceparent", "Tracestate"} {
		if strings.HasPrefix(name, beginning) {
			return true
		}
	}
	return false
}

func (r *requestReview) typeMeta() metav1.TypeMeta { return r.TypeMeta }

func (r *requestReview) credentials() []string {
	var all []string
	if r.Spec.Query != "" {
		all = append(all, r.Spec.Query)
	}
	for _, values := range r.Spec.Headers {
		all = append(all, values...)
	}
	// What is part of another would leave the rest of that to be read if it were hidden first.
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// Field implements sandbox.Fields.
func (r *requestReview) Field(pointer string) (sandbox.Value, error) { return field.Lookup(r, pointer) }
