package plugins_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/audit"

	"gatehouse/plugins"
	"gatehouse/plugins/plugintest"
	"gatehouse/plugins/sandbox"
)

// undecided is what a guest answers, in any role, that cannot decide.
const undecided = `{"apiVersion":"v1","kind":"Status","status":"Failure","message":"no idea"}`

// clock is a set's, and goes when it is told to.
type clock struct{ now atomic.Pointer[time.Time] }

func (h *host) stopClock() *clock {
	c := &clock{}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c.now.Store(&now)
	h.SetClock(func() time.Time { return *c.now.Load() })
	return c
}

func (c *clock) advance(d time.Duration) {
	now := c.now.Load().Add(d)
	c.now.Store(&now)
}

func TestAPluginThatFailsAgainAndAgainIsQuarantined(t *testing.T) {
	h := open(t, scriptWhole(t, "judge", undecided, "admission: {phases: [validate]}"))
	c := h.stopClock()
	create := func() string { return plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil)))) }
	for range 5 {
		if got := create(); !strings.HasSuffix(got, "): it says: no idea") {
			t.Fatalf("got %s", got)
		}
	}
	runs := h.calls()["judge admit timed"]
	got, want := create(), fmt.Sprintf(`500 InternalError: Internal error occurred: failed calling admission plugin "judge" (revision %s): `+
		`it is quarantined since 2026-01-01T00:00:00Z and not asked about requests of user "jane" in namespace "default" until 2026-01-01T00:00:01Z, `+
		`because it failed 5 times in a row (refused: it says: no idea)`, h.only().Revision)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if after := h.calls()["judge admit timed"]; after != runs {
		t.Errorf("the guest is run")
	}
	if faults := h.counted("gatehouse_plugin_faults_total"); faults["quarantined judge admit"] != 1 || faults["refused judge admit"] != 5 {
		t.Errorf("the faults are counted as %v", faults)
	}
	if got := h.counted("gatehouse_plugin_quarantines_total")["judge admit"]; got != 1 {
		t.Errorf("%v quarantines are counted", got)
	}
	if states := h.counted("gatehouse_plugin_state"); states["judge Quarantined"] != 1 || states["judge Serving"] != 0 {
		t.Errorf("the states are %v", states)
	}
	status := h.only()
	if status.State != plugins.Quarantined || len(status.Quarantines) != 1 || len(status.Failures) != 5 ||
		status.StateSince != status.Quarantines[0].Since || status.Quarantines[0].Role != sandbox.Admit {
		t.Errorf("the status is %+v", status)
	}
	other := plugintest.Pod(nil)
	other.Namespace = "other"
	if got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(other))); !strings.Contains(got, "it says") {
		t.Errorf("in another namespace it is not asked: %s", got)
	}
	c.advance(time.Second)
	if got := create(); !strings.Contains(got, "it says") {
		t.Errorf("when the time has come it is not asked: %s", got)
	}
	if got := create(); !strings.Contains(got, "until 2026-01-01T00:00:03Z") {
		t.Errorf("having failed again it is answered for: %s", got)
	}
	if n := strings.Count(h.log.String(), "plugin is quarantined"); n != 1 {
		t.Errorf("%d lines say that it is quarantined, want one:\n%s", n, h.log)
	}
	h.write(files{"judge.yaml": "# as before\nadmission: {phases: [validate]}\nsettings: " + undecided})
	h.sync()
	if got := h.only(); got.State != plugins.Serving || len(got.Quarantines) != 0 {
		t.Errorf("a new revision begins as %+v", got)
	}
	if got := create(); !strings.Contains(got, "it says") {
		t.Errorf("a new revision is not asked: %s", got)
	}
}

func TestAnAnswerEndsAQuarantine(t *testing.T) {
	// The guest answers what its settings say, and only a review with that uid fits: it cannot change its mind, but the object can
	// make its patch fail.
	h := open(t, script(t, "judge", patching(`[{"op":"remove","path":"/metadata/labels/a"}]`), "admission: {phases: [mutate]}"))
	c := h.stopClock()
	for range 6 {
		_ = h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil)))
	}
	changed := h.Changed()
	if got := h.only().State; got != plugins.Quarantined {
		t.Fatalf("it is %s", got)
	}
	c.advance(time.Second)
	if err := h.admit(t.Context(), plugintest.Create(plugintest.Pod(map[string]string{"a": "b"}))); err != nil {
		t.Fatal(err)
	}
	if got := h.only().State; got != plugins.Serving {
		t.Errorf("it is %s", got)
	}
	select {
	case <-changed:
	default:
		t.Error("those who wait for changes are not told")
	}
	if n := strings.Count(h.log.String(), "plugin is quarantined no more"); n != 1 {
		t.Errorf("%d lines say that it is no more, want one:\n%s", n, h.log)
	}
}

func TestWhatAQuarantineMeansIsForTheFailurePolicyToSay(t *testing.T) {
	for _, role := range []sandbox.Role{sandbox.Authenticate, sandbox.Authorize, sandbox.Admit} {
		for policy, want := range map[string]map[sandbox.Role]string{
			"Fail": {
				sandbox.Authenticate: `unavailable: a plugin could not decide: failed calling authentication plugin "judge"`,
				sandbox.Authorize:    `denied, failed calling authorization plugin "judge"`,
				sandbox.Admit:        `500 InternalError: Internal error occurred: failed calling admission plugin "judge"`,
			},
			"Ignore": {sandbox.Authenticate: "wrong: invalid bearer token", sandbox.Authorize: "no opinion", sandbox.Admit: "allowed"},
		} {
			t.Run(fmt.Sprintf("%s in the role %s", policy, role), func(t *testing.T) {
				config := "failurePolicy: " + policy + "\nadmission: {phases: [validate]}"
				content := says(t, "judge", undecided, config)
				if role == sandbox.Admit {
					content = scriptWhole(t, "judge", undecided, config)
				}
				h := open(t, content)
				h.stopClock()
				var warnings plugintest.Warnings
				annotations := map[string]string{}
				ask := func() string {
					warnings.Texts = nil
					if role == sandbox.Admit {
						write := &annotated{Attributes: plugintest.Create(plugintest.Pod(nil))}
						defer func() { annotations = write.annotations }()
						return plugintest.Fate(h.admit(warnings.Context(t.Context()), write))
					}
					ctx, audited := auditing(warnings.Context(t.Context()))
					defer func() { annotations = audited() }()
					if role == sandbox.Authenticate {
						return h.identify(withToken().WithContext(ctx))
					}
					return h.decide(ctx, getPod())
				}
				for range 5 {
					ask()
				}
				got := ask()
				if !strings.HasPrefix(got, want[role]) || (policy == "Fail") != strings.Contains(got, "it is quarantined since") {
					t.Errorf("got %s, want %s", got, want[role])
				}
				if policy == "Fail" {
					return
				}
				if len(warnings.Texts) != 1 || !strings.Contains(warnings.Texts[0], "it is quarantined since") {
					t.Errorf("the warnings are %q", warnings.Texts)
				}
				place := string(role)
				if role == sandbox.Admit {
					place = "validate"
				}
				if got := annotations[place+".failed-open.plugins.gatehouse.dev/judge"]; !strings.Contains(got, "it is quarantined since") {
					t.Errorf("the audit annotations are %q", annotations)
				}
				if got := h.calls()["judge ignored "+string(role)]; got != 6 {
					t.Errorf("%v calls are counted as ignored, want 6", got)
				}
			})
		}
	}
}

// auditing is a context whose request is audited, and what annotations its event has.
func auditing(ctx context.Context) (context.Context, func() map[string]string) {
	ctx = audit.WithAuditContext(ctx)
	event := audit.AuditContextFrom(ctx)
	return ctx, event.GetEventAnnotations
}
