package authentication

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// service answers TokenReviews over TLS.
type service struct {
	*httptest.Server
	asked atomic.Int32
}

func newService(t *testing.T, user string) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		var review authenticationv1.TokenReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.APIVersion != "authentication.k8s.io/v1" {
			http.Error(w, fmt.Sprint(err, review.APIVersion), http.StatusBadRequest)
			return
		}
		if name, known := strings.CutPrefix(review.Spec.Token, "for-"); known {
			review.Status.Authenticated = true
			review.Status.User = authenticationv1.UserInfo{Username: user + name, UID: "7", Groups: []string{"hooked"},
				Extra: map[string]authenticationv1.ExtraValue{"example.org/a": {"b"}}}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(s.Close)
	return s
}

// kubeconfig says how the service is reached.
func (s *service) kubeconfig() string {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: s, cluster: {server: "%s/review", certificate-authority-data: %s}}]
contexts: [{name: s, context: {cluster: s}}]
current-context: s
`, s.URL, base64Of(ca))
}

func TestAServiceIsAskedAboutTokensThatNobodyElseKnows(t *testing.T) {
	dir := t.TempDir()
	first, second := newService(t, "first:"), newService(t, "second:")
	write(t, file(dir, "hook"), first.kubeconfig())
	w := start(t, dir, "--authentication-webhook-config-file", file(dir, "hook"))

	want := authenticationv1.UserInfo{Username: "first:jane", UID: "7", Groups: []string{"hooked", "system:authenticated"},
		Extra: map[string]authenticationv1.ExtraValue{"example.org/a": {"b"}}}
	for range 3 {
		got := w.whoami(t, bearer("for-jane"))
		if got == nil {
			t.Fatal("nobody is let in")
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if n := first.asked.Load(); n != 1 {
		t.Errorf("the service was asked %d times about one token, want once", n)
	}
	for range 3 {
		if got := w.whoami(t, bearer("unknown")); got != nil {
			t.Errorf("%v is let in by a token that the service does not know", got)
		}
	}
	if n := first.asked.Load(); n != 2 {
		t.Errorf("the service was asked %d times about two tokens, want twice", n)
	}
	review, err := w.client.AuthenticationV1().TokenReviews().Create(t.Context(),
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: "for-jane"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, review.Status.User); diff != "" || !review.Status.Authenticated {
		t.Errorf("a TokenReview says (-want +got):\n%s", diff)
	}

	if got := w.kubectl(t, "for-jane", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"); got != "first:jane" {
		t.Errorf("kubectl is told that it is %q", got)
	}

	write(t, file(dir, "hook"), second.kubeconfig())
	w.becomes(t, bearer("for-jane"), "second:jane")
}

func TestAServiceThatIsGoneLetsNobodyInAndHasNobodyWait(t *testing.T) {
	dir := t.TempDir()
	hook := newService(t, "")
	write(t, file(dir, "hook"), hook.kubeconfig())
	hook.Close()
	w := start(t, dir, "--authentication-webhook-config-file", file(dir, "hook"))
	source := w.from()
	if got := w.askFrom(t, source, bearer("for-jane"), http.MethodGet, "/api", ""); got.code != http.StatusUnauthorized {
		t.Errorf("the answer is %d, want 401: %s", got.code, got.body)
	}
}
