package plugins_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/apis/core"

	"gatehouse/plugins"
	"gatehouse/plugins/plugintest"
)

func (h *host) record(name string, credentials bool) *plugins.Recording {
	h.t.Helper()
	r, err := h.Record(name, credentials)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(r.Close)
	return r
}

// next is the next record, which must be there already: calls are recorded before they are answered.
func next(t *testing.T, r *plugins.Recording) *plugins.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	record, err := r.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func TestCallsAreRecorded(t *testing.T) {
	h := open(t, merge(
		says(t, "judge", access(`{"denied":true,"reason":"not today"}`), "roles: [authorize]"),
		says(t, "who", token(`{"authenticated":true,"user":{"username":"jane","groups":["devs"]}}`), "roles: [authenticate]"),
		script(t, "writes", patching(`[{"op":"add","path":"/metadata/labels","value":{"a":"b"}}]`), ""),
	))
	judge, who, writes := h.record("judge", false), h.record("who", false), h.record("writes", false)
	h.identify(withToken())
	if got := next(t, who); got.Decision != "allowed" || got.User.Username != "jane" || !strings.Contains(string(got.Review), "TokenReview") {
		t.Errorf("the token is recorded as %+v", got)
	}
	h.decide(t.Context(), getPod())
	if got := next(t, judge); got.Decision != "denied" || got.Message != "not today" || got.Revision == "" || got.Hidden {
		t.Errorf("the question is recorded as %+v", got)
	}
	if err := h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil))); err != nil {
		t.Fatal(err)
	}
	got := next(t, writes)
	if got.Decision != "allowed" || got.Phase != "mutate" || !strings.Contains(string(got.Patch), `"/metadata/labels"`) {
		t.Errorf("the write is recorded as %+v", got)
	}
	if strings.Contains(string(got.Review), `"a":"b"`) {
		t.Errorf("the review has what the plugin's patch did: %s", got.Review)
	}
}

func TestRecordingsHideCredentials(t *testing.T) {
	const secret = "hunter2hunter2"
	quoting := fmt.Sprintf(`{"error":"what is %s?"}`, secret)
	for name, test := range map[string]struct {
		files  files
		review func(h *host)
		stays  []string
	}{
		"bearer tokens, and where the plugin quotes them": {
			says(t, "p", token(quoting), "roles: [authenticate]"),
			func(h *host) { h.identify(bearing(h, secret)) }, []string{"what is (hidden)?"},
		},
		"headers that may hold them, and queries": {
			says(t, "p", reviewed(quoting),
				"roles: [authenticate]\nauthentication: {tokens: false, requests: {headers: [Cookie, User-Agent], query: true}}"),
			func(h *host) {
				r := &http.Request{Method: "GET", URL: &url.URL{Path: "/api", RawQuery: "limit=5&key=" + secret}, Header: http.Header{
					"Cookie": {"session=" + secret}, "User-Agent": {"curl/8"}}}
				h.identify(r.WithContext(h.t.Context()))
			}, []string{"curl/8", "key="},
		},
		"what is in Secrets": {
			script(t, "p", `{"uid":"$uid","allowed":false,"status":{"message":"`+secret+`?"}}`, ""),
			func(h *host) {
				object := &core.Secret{
					ObjectMeta: metav1.ObjectMeta{Name: "safe", Namespace: "default", Annotations: map[string]string{
						"kubectl.kubernetes.io/last-applied-configuration": `{"stringData":{"a":"` + secret + `"}}`, "note": "kept"}},
					Data: map[string][]byte{"a": []byte(secret)}, Type: "Opaque",
				}
				_ = h.admit(h.t.Context(), plugintest.CreateSecret(object))
			}, []string{"kept", "Opaque", "KGhpZGRlbik="},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, test.files)
			hidden, open := h.record("p", false), h.record("p", true)
			test.review(h)
			text, err := json.Marshal(next(t, hidden))
			if err != nil {
				t.Fatal(err)
			}
			for _, form := range []string{secret, "aHVudGVyMmh1bnRlcjI"} {
				if strings.Contains(string(text), form) {
					t.Errorf("the record has the secret: %s", text)
				}
			}
			for _, kept := range append(test.stays, `"hidden":true`) {
				if !strings.Contains(string(text), kept) {
					t.Errorf("the record lacks %s: %s", kept, text)
				}
			}
			text, err = json.Marshal(next(t, open))
			if err != nil || !strings.Contains(string(text), "hunter2") && !strings.Contains(string(text), "aHVudGVyMmh1bnRlcjI") || strings.Contains(string(text), `"hidden"`) {
				t.Errorf("whoever asks for credentials gets %s, %v", text, err)
			}
		})
	}
}

func bearing(h *host, token string) *http.Request {
	r := &http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}
	return r.WithContext(h.t.Context())
}

func TestRequestsDoNotWaitForRecordings(t *testing.T) {
	h := open(t, says(t, "judge", access(`{"allowed":true}`), "roles: [authorize]"))
	r := h.record("judge", false)
	const calls = 300
	for range calls {
		h.decide(t.Context(), getPod())
	}
	dropped := int(r.Dropped())
	if dropped == 0 || dropped == calls {
		t.Fatalf("%d of %d calls are dropped, though nobody has taken any", dropped, calls)
	}
	for range calls - dropped {
		next(t, r)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if record, err := r.Next(ended); err == nil {
		t.Errorf("there is one more record than calls: %+v", record)
	}
	h.decide(t.Context(), getPod())
	next(t, r) // it goes on once there is room
}

func TestRecordingsEnd(t *testing.T) {
	h := open(t, says(t, "judge", access(`{"allowed":true}`), "roles: [authorize]"))
	if _, err := h.Record("nobody", false); !errors.Is(err, plugins.ErrNoPlugin) {
		t.Errorf("nobody is recorded: %v", err)
	}
	var all []*plugins.Recording
	for range 4 {
		all = append(all, h.record("judge", false))
	}
	if _, err := h.Record("judge", false); !errors.Is(err, plugins.ErrTooManyRecordings) {
		t.Errorf("a fifth one records: %v", err)
	}
	h.write(files{"judge.wasm": ""})
	h.sync()
	for _, r := range all {
		if _, err := r.Next(t.Context()); !errors.Is(err, plugins.ErrPluginGone) {
			t.Errorf("the recording of a plugin that has gone goes on: %v", err)
		}
	}
}
