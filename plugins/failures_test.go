package plugins_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse/plugins"
	"gatehouse/plugins/plugintest"
	"gatehouse/plugins/sandbox"
)

func TestTheLastFailuresAreRemembered(t *testing.T) {
	h := open(t, scriptWhole(t, "judge", `{"apiVersion":"v1","kind":"Status","status":"Failure","message":"no idea"}`, "failurePolicy: Ignore"))
	if got := h.only().Failures; len(got) != 0 {
		t.Fatalf("there are failures before the first call: %v", got)
	}
	for i := range 12 {
		pod := plugintest.Pod(nil)
		pod.Namespace = fmt.Sprint(i) // or it would be quarantined
		if err := h.admit(t.Context(), plugintest.Create(pod)); err != nil {
			t.Fatal(err)
		}
	}
	old := h.only()
	if len(old.Failures) != 10 {
		t.Fatalf("%d failures are remembered, want the last 10", len(old.Failures))
	}
	first := old.Failures[0]
	if first.Role != sandbox.Admit || first.Kind != sandbox.Refused || first.Cause != "it says: no idea" || first.Revision != old.Revision ||
		first.Time.Before(old.Failures[9].Time) || first.Time.IsZero() {
		t.Errorf("the newest failure is %+v", first)
	}
	h.write(script(t, "judge", `{"uid":"$uid","allowed":true}`, ""))
	h.sync()
	if got := h.only(); len(got.Failures) != 10 || got.Failures[0].Revision == got.Revision {
		t.Errorf("a new revision has the failures %+v, want those of the old one", got.Failures)
	}
}

func TestRememberedFailuresQuoteNoRequests(t *testing.T) {
	answer := patching(`[{"op":"move","from":"/metadata/labels/secret","path":"/spec/terminationGracePeriodSeconds"}]`)
	h := open(t, script(t, "judge", answer, ""))
	fate := plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(map[string]string{"secret": "hunter2hunter2"}))))
	if !strings.Contains(fate, "its patch makes the object something that is no Pod: ") {
		t.Fatalf("the client is told %s", fate)
	}
	failures := h.only().Failures
	if len(failures) != 1 || failures[0].Cause != "its patch makes the object something that is no Pod" {
		t.Errorf("the failures are %+v", failures)
	}
	h.write(script(t, "judge", answer, "failurePolicy: Ignore"))
	h.sync()
	write := &annotated{Attributes: plugintest.Create(plugintest.Pod(map[string]string{"secret": "hunter2hunter2"}))}
	if err := h.admit(t.Context(), write); err != nil {
		t.Fatal(err)
	}
	if len(write.annotations) != 2 {
		t.Errorf("the annotations are %q, want one of each phase", write.annotations)
	}
	for _, text := range []string{h.log.String(), fmt.Sprint(write.annotations)} {
		if !strings.Contains(text, failures[0].Cause) || strings.Contains(text, "hunter2") {
			t.Errorf("log or audit event have\n%s", text)
		}
	}
}

func TestFailuresHoldNoCredentials(t *testing.T) {
	const token = "Zm9vYmFy.secret"
	answer := fmt.Sprintf(`{"apiVersion":"v1","kind":"Status","status":"Failure","message":"what is %s?"}`, token)
	h := open(t, says(t, "keys", answer, "roles: [authenticate]\nauthentication: {requests: {headers: [X-Key]}}"))
	authenticator := h.Authentication(plugins.Selection{}, nil)
	for _, header := range []http.Header{{"Authorization": {"Bearer " + token}}, {"X-Key": {token}}} {
		r := &http.Request{Method: "GET", URL: &url.URL{Path: "/api"}, Header: header}
		if _, _, err := authenticator.AuthenticateRequest(r.WithContext(t.Context())); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("the error is %v, want one without the credentials", err)
		}
	}
	for _, failure := range h.only().Failures {
		if failure.Cause != "it says: what is [hidden]?" {
			t.Errorf("remembered is %q", failure.Cause)
		}
	}
	if got := len(h.only().Failures); got != 2 {
		t.Errorf("%d failures, want 2", got)
	}
	if strings.Contains(h.log.String(), token) {
		t.Errorf("the log has the credentials:\n%s", h.log)
	}
}

func TestALongCauseIsCutBetweenLetters(t *testing.T) {
	answer := fmt.Sprintf(`{"apiVersion":"v1","kind":"Status","status":"Failure","message":"%s"}`, strings.Repeat("ä", 1000))
	h := open(t, scriptWhole(t, "judge", answer, ""))
	_ = h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil)))
	cause := h.only().Failures[0].Cause
	if len(cause) > 256 || len(cause) < 250 || !strings.HasSuffix(cause, "ä…") {
		t.Errorf("the cause has %d bytes and ends in %q", len(cause), cause[len(cause)-8:])
	}
}
