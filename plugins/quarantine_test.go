package plugins

import (
	"fmt"
	"testing"
	"time"

	"gatehouse/plugins/sandbox"
)

// behaved is a conduct under a clock that stands still, with what is asked of it in one role.
type behaved struct {
	*testing.T
	conduct
	role sandbox.Role
	now  time.Time
}

func newBehaved(t *testing.T) *behaved {
	return &behaved{T: t, role: sandbox.Admit, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// asked is a call about a request of an origin, and reports whether it came to be.
func (b *behaved) asked(from origin, fails bool) bool {
	b.Helper()
	tested, barred := b.enter(from, b.role, b.now)
	switch {
	case barred != nil:
		return false
	case fails:
		b.failed(from, Failure{Time: b.now, Role: b.role, Kind: sandbox.Trapped}, tested)
	default:
		b.answered(from, b.role)
	}
	return true
}

// fail fails until the origin is quarantined.
func (b *behaved) fail(from origin) {
	b.Helper()
	for range failuresToQuarantine {
		if !b.asked(from, true) {
			b.Fatalf("%v is not asked about", from)
		}
	}
	if b.asked(from, true) {
		b.Fatalf("%v is asked about after %d failures", from, failuresToQuarantine)
	}
}

func jane() origin  { return origin{"jane", "default"} }
func other() origin { return origin{"joe", "other"} }

func TestWhoMakesAPluginFailIsKeptOutAlone(t *testing.T) {
	b := newBehaved(t)
	b.fail(jane())
	for _, from := range []origin{{"jane", "other"}, {"joe", "default"}, other()} {
		if !b.asked(from, false) {
			t.Errorf("%v is kept out because of jane in default", from)
		}
	}
	if b.asked(jane(), false) {
		t.Error("an answer to others lets jane back in")
	}
	got := b.quarantines(b.role)
	if len(got) != 1 || got[0].About != `user "jane" in namespace "default"` || got[0].Failures != failuresToQuarantine || got[0].Last.Kind != sandbox.Trapped {
		t.Errorf("the quarantines are %+v", got)
	}
}

func TestABackOffDoublesUntilACallSucceeds(t *testing.T) {
	b := newBehaved(t)
	b.fail(jane())
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		if b.now = b.now.Add(want*time.Second - 1); b.asked(jane(), true) {
			t.Fatalf("it is asked before %d s", want)
		}
		if b.now = b.now.Add(1); !b.asked(jane(), true) {
			t.Fatalf("it is not asked after %d s", want)
		}
	}
	if b.now = b.now.Add(lastBackOff); !b.asked(jane(), false) || !b.asked(jane(), true) || !b.asked(jane(), true) {
		t.Error("an answer does not let jane back in")
	}
	if got := b.quarantines(b.role); len(got) != 0 {
		t.Errorf("quarantines are left: %+v", got)
	}
}

func TestOneCallAtATimeTestsAQuarantine(t *testing.T) {
	b := newBehaved(t)
	b.fail(jane())
	b.now = b.now.Add(firstBackOff)
	tested, barred := b.enter(jane(), b.role, b.now)
	if tested == nil || barred != nil {
		t.Fatal("nobody may test")
	}
	if b.asked(jane(), false) {
		t.Error("two test at once")
	}
	b.leave(tested) // say, the client has gone
	if !b.asked(jane(), false) {
		t.Error("a test that came to nothing keeps others from testing")
	}
}

func TestAnAnswerBetweenFailuresStartsTheCountAnew(t *testing.T) {
	b := newBehaved(t)
	for range 5 {
		for range failuresToQuarantine - 1 {
			b.asked(jane(), true)
		}
		if !b.asked(jane(), false) {
			t.Fatal("jane is kept out")
		}
	}
	for range 3 * failuresToQuarantine { // failures that are far apart
		b.now = b.now.Add(forgetFailures + 1)
		if !b.asked(jane(), true) {
			t.Fatal("jane is kept out for failures long past")
		}
	}
}

func TestEverybodyIsKeptOutWhenSeveralUsersInSeveralNamespacesFail(t *testing.T) {
	for _, test := range []struct {
		name    string
		origins []origin
		want    bool
	}{
		{"one user in many namespaces", []origin{{"jane", "a"}, {"jane", "b"}, {"jane", "c"}, {"jane", "d"}}, false},
		{"many users in one namespace, controllers say", []origin{{"a", "x"}, {"b", "x"}, {"c", "x"}, {"d", "x"}}, false},
		{"two users in three namespaces", []origin{{"a", "x"}, {"b", "y"}, {"a", "z"}}, false},
		{"nobody in particular beside two users", []origin{{"", "x"}, {"system:anonymous", "y"}, {"a", "z"}, {"b", "w"}}, false},
		{"a user's service accounts beside them, in one namespace", []origin{
			originOf("system:serviceaccount:a:x", "x"), originOf("system:serviceaccount:a:y", "y"), originOf("system:serviceaccount:a:z", "z"), {"a", "w"}}, false},
		{"three users in three namespaces", []origin{{"a", "x"}, {"b", "y"}, {"c", "z"}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBehaved(t)
			for _, from := range test.origins {
				b.fail(from)
			}
			if got := !b.asked(other(), false); got != test.want {
				t.Errorf("somebody else is kept out: %t, want %t", got, test.want)
			}
			if got := b.quarantines(b.role)[0].About == ""; got != test.want {
				t.Errorf("everybody is said to be kept out: %t, want %t", got, test.want)
			}
		})
	}
}

func TestThoseBeforeWhomItFailedCannotDoSoInOtherNamespaces(t *testing.T) {
	b := everybody(t)
	b.now = b.now.Add(firstBackOff)
	for i := range originsToQuarantine {
		if b.asked(origin{fmt.Sprint("user", i), "another"}, true) {
			t.Errorf("user %d may test everybody's quarantine in another namespace", i)
		}
	}
	if !b.asked(other(), false) {
		t.Fatal("somebody else is still kept out")
	}
	for range 3 { // once an answer has shown that it was them
		for i := range originsToQuarantine {
			b.fail(origin{fmt.Sprint("user", i), fmt.Sprint("fresh", i, b.now)})
		}
		if !b.asked(other(), false) {
			t.Fatal("the same users keep somebody else out once more")
		}
		b.now = b.now.Add(time.Second)
	}
	b.tidy(b.role, b.now.Add(2*forgetFailures))
	if len(b.spent) != 0 || b.watched.Load() {
		t.Errorf("they are kept for ever: %v", b.spent)
	}
}

func TestServiceAccountsOfANamespaceAreOneUser(t *testing.T) {
	a, b := originOf("system:serviceaccount:shop:a", "x"), originOf("system:serviceaccount:shop:b", "x")
	if a != b || a.about(sandbox.Authorize) != `service accounts of namespace "shop" in namespace "x"` {
		t.Errorf("they are %v, %v: %s", a, b, a.about(sandbox.Authorize))
	}
}

// everybody is a conduct under which everybody is kept out.
func everybody(t *testing.T) *behaved {
	b := newBehaved(t)
	for i := range originsToQuarantine {
		b.fail(origin{fmt.Sprint("user", i), fmt.Sprint("namespace", i)})
	}
	if b.asked(other(), false) {
		t.Fatal("somebody is not kept out")
	}
	return b
}

func TestThoseBeforeWhomItFailedCannotKeepOthersOut(t *testing.T) {
	b := everybody(t)
	b.now = b.now.Add(firstBackOff)
	for i := range originsToQuarantine { // are the first to come by, and have it fail again
		if !b.asked(origin{fmt.Sprint("user", i), fmt.Sprint("namespace", i)}, true) {
			t.Error("cannot test their own quarantine")
		}
	}
	if !b.asked(other(), false) || !b.asked(origin{"jim", "more"}, false) {
		t.Error("others are still kept out")
	}
	if got := b.quarantines(b.role); len(got) != originsToQuarantine || got[0].About == "" {
		t.Errorf("the quarantines are %+v, want those of the three", got)
	}
}

func TestSomebodyElsesFailureProlongsWhatIsEverybodys(t *testing.T) {
	b := everybody(t)
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		if b.now = b.now.Add(want*time.Second - 1); b.asked(other(), true) {
			t.Fatalf("it is asked before %d s", want)
		}
		b.now = b.now.Add(1)
		if from := (origin{"new", fmt.Sprint(i)}); !b.asked(from, true) {
			t.Fatalf("it is not asked after %d s", want)
		}
	}
}

func TestAnAnswerAfterFailuresOfManyStartsTheCountOfSuspectsAnew(t *testing.T) {
	b := newBehaved(t)
	for i := range 10 * originsToQuarantine {
		b.fail(origin{fmt.Sprint("user", i), fmt.Sprint("namespace", i)})
		if i%(originsToQuarantine-1) == 1 && !b.asked(other(), false) {
			t.Fatal("somebody else is kept out although it answers in between")
		}
	}
}

func TestOriginsDoNotFillTheMemory(t *testing.T) {
	b := newBehaved(t)
	for i := range maxOrigins + 10 {
		b.asked(origin{"jane", fmt.Sprint(i)}, true)
	}
	if len(b.origins) != maxOrigins {
		t.Errorf("%d origins are kept, want %d", len(b.origins), maxOrigins)
	}
	b.now = b.now.Add(forgetFailures + 1)
	b.tidy(b.role, b.now)
	if len(b.origins) != 0 || b.watched.Load() {
		t.Errorf("%d origins are kept for ever", len(b.origins))
	}
}

func TestAQuarantineThatNobodyTestsEnds(t *testing.T) {
	b := everybody(t)
	if ended := b.tidy(b.role, b.now.Add(forgetFailures)); len(ended) != 0 {
		t.Errorf("ended already: %+v", ended)
	}
	if ended := b.tidy(b.role, b.now.Add(forgetFailures+2*firstBackOff)); len(ended) != originsToQuarantine+1 {
		t.Errorf("%d ended, want %d", len(ended), originsToQuarantine+1)
	}
	if b.watched.Load() || len(b.quarantines(b.role)) != 0 {
		t.Error("something is left")
	}
}

func TestANetworkIsWhomAnAddressBelongsTo(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1:4711": "10.0.0.1", "[::ffff:10.0.0.1]:1": "10.0.0.1", "[2001:db8::1]:1": "2001:db8::/56", "[2001:db8:0:1::1]:1": "2001:db8::/56", "[2001:db8:0:100::1]:1": "2001:db8:0:100::/56",
		"[fe80::1%eth0]:1": "fe80::/56", "": "", "@": "",
	} {
		if got := network(address); got != want {
			t.Errorf("%s is of %q, want %q", address, got, want)
		}
	}
}
