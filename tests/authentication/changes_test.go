package authentication

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
)

// becomes waits until credentials let somebody in by a name, or, if that is empty, nobody.
func (w *world) becomes(t *testing.T, who credentials, name string) {
	t.Helper()
	eventually(t, func() error {
		got := ""
		if user := w.whoami(t, who); user != nil {
			got = user.Username
		}
		if got != name {
			return fmt.Errorf("it lets in %q, want %q", got, name)
		}
		return nil
	})
}

// says waits until the log says something.
func (w *world) says(t *testing.T, want string) {
	t.Helper()
	eventually(t, func() error {
		if !strings.Contains(w.Process().Log().String(), want) {
			return fmt.Errorf("the log does not say %q", want)
		}
		return nil
	})
}

func TestFilesOfUsersAreReadAnewWhenTheyChange(t *testing.T) {
	u := newUsers(t)
	u.becomes(t, bearer("listed-token"), "ann")
	write(t, file(u.dir, "tokens.csv"), "new-token,ann,17\n")
	u.becomes(t, bearer("new-token"), "ann")
	u.becomes(t, bearer("listed-token"), "") // at once, although it was remembered

	u.becomes(t, basic("kim", "hashed"), "kim")
	write(t, file(u.dir, "passwords"), "kim:"+hashed(t, "changed")+"\n")
	u.becomes(t, basic("kim", "changed"), "kim")
	u.becomes(t, basic("kim", "hashed"), "")

	joe := u.other.client(t, named("joe"))
	jim := u.stranger.client(t, named("jim"))
	u.becomes(t, certified(joe), "joe")
	write(t, file(u.dir, "other.crt"), string(u.stranger.pem()))
	u.becomes(t, certified(jim), "jim")
	u.becomes(t, certified(joe), "")
}

func TestABrokenFileOfUsersKeepsLettingInWhomItDid(t *testing.T) {
	u := newUsers(t)
	write(t, file(u.dir, "tokens.csv"), "new-token,ann,17\nmy-secret\n")
	broken := file(u.dir, "tokens.csv") + ":2: it is neither token,user,uid,"
	u.says(t, broken)
	u.becomes(t, bearer("listed-token"), "ann")
	u.becomes(t, bearer("new-token"), "")
	if err := os.Remove(file(u.dir, "other.crt")); err != nil {
		t.Fatal(err)
	}
	u.says(t, "cannot read "+file(u.dir, "other.crt")+": no such file or directory")
	u.becomes(t, certified(u.other.client(t, named("joe"))), "joe")
	write(t, file(u.dir, "tokens.csv"), "new-token,ann,17\n")
	u.becomes(t, bearer("new-token"), "ann")
	log := u.Process().Log().String()
	if n := strings.Count(log, broken); n != 1 || strings.Contains(log, "my-secret") {
		t.Errorf("the broken file is logged %d times, want once and without secrets:\n%s", n, log)
	}
}

// keyIDs are the keys that the server tells others to verify tokens with.
func (w *world) keyIDs(t *testing.T) (ids []string) {
	t.Helper()
	text, err := w.client.CoreV1().RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	for _, key := range set.Keys {
		ids = append(ids, key.ID)
	}
	return ids
}

// keyID is the key that a token says it was signed with.
func keyID(t *testing.T, token string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	var header struct {
		ID string `json:"kid"`
	}
	if err := json.Unmarshal(text, &header); err != nil {
		t.Fatal(err)
	}
	return header.ID
}

func TestKeysOfServiceAccountTokensAreRotatedWithoutARestart(t *testing.T) {
	w := start(t, t.TempDir())
	w.account(t, "robot")
	const robot = "system:serviceaccount:default:robot"
	before := w.token(t, "robot", authenticationv1.TokenRequestSpec{})
	w.becomes(t, bearer(before), robot)

	keys := file(w.DataDir(), "pki/service-account")
	writeKey(t, file(keys, "0002.key"))
	var after string
	eventually(t, func() error {
		if after = w.token(t, "robot", authenticationv1.TokenRequestSpec{}); keyID(t, after) == keyID(t, before) {
			return errors.New("the old key still signs")
		}
		return nil
	})
	w.becomes(t, bearer(after), robot)
	w.becomes(t, bearer(before), robot)
	if diff := cmp.Diff([]string{keyID(t, after), keyID(t, before)}, w.keyIDs(t)); diff != "" {
		t.Errorf("keys in the discovery document (-want +got):\n%s", diff)
	}

	write(t, file(keys, "0003.key"), "this is no key")
	w.says(t, "service account key "+file(keys, "0003.key")+" cannot be used")
	w.becomes(t, bearer(after), robot)
	if err := errors.Join(os.Remove(file(keys, "0003.key")), os.Remove(file(keys, "0001.key"))); err != nil {
		t.Fatal(err)
	}
	w.becomes(t, bearer(before), "")
	w.becomes(t, bearer(after), robot)
	if diff := cmp.Diff([]string{keyID(t, after)}, w.keyIDs(t)); diff != "" {
		t.Errorf("keys in the discovery document (-want +got):\n%s", diff)
	}
}

func TestTheOrderOfTheConfigurationDecidesWhoIsAskedFirst(t *testing.T) {
	dir := t.TempDir()
	write(t, file(dir, "tokens.csv"), "t,by-token,1\n")
	for order, want := range map[string]string{
		"clientCertificate,tokenFile": "by-certificate",
		"tokenFile,clientCertificate": "by-token",
	} {
		w := start(t, dir, "--authentication-order", order, "--authentication-token-files", file(dir, "tokens.csv"))
		own := loadAuthority(t, file(w.DataDir(), "pki/ca.crt"), file(w.DataDir(), "pki/ca.key"))
		both := credentials{certificate: own.client(t, named("by-certificate")), header: bearer("t").header}
		if got := w.whoami(t, both); got == nil || got.Username != want {
			t.Errorf("%s: %v is let in, want %s", order, got, want)
		}
		w.account(t, "robot")
		if got := w.whoami(t, bearer(w.token(t, "robot", authenticationv1.TokenRequestSpec{}))); got != nil {
			t.Errorf("%s: %v is let in by a member that is not listed", order, got)
		}
	}
}

func TestWhatIsAnonymousIsWhatTheConfigurationSays(t *testing.T) {
	for _, test := range []struct {
		name  string
		paths string
		want  map[string]int
	}{
		{"none", "none", map[string]int{"/livez": 401, "/version": 401, "/api/v1/nodes": 401}},
		{"one", "/version", map[string]int{"/livez": 401, "/version": 200, "/version/": 401, "/api/v1/nodes": 401}},
		{"all", "*", map[string]int{"/livez": 200, "/version": 200, "/api/v1/nodes": 403}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := start(t, t.TempDir(), "--authentication-anonymous-paths", test.paths)
			for path, want := range test.want {
				if got := w.ask(t, credentials{}, http.MethodGet, path, ""); got.code != want {
					t.Errorf("%s is answered %d, want %d: %s", path, got.code, want, got.body)
				}
			}
			if got := w.ask(t, bearer("nonsense"), http.MethodGet, "/version", ""); got.code != http.StatusUnauthorized {
				t.Errorf("wrong credentials are answered %d, want 401", got.code)
			}
		})
	}
}
