package plugins

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"gatehouse/plugins/sandbox"
)

const (
	// failuresToQuarantine is after how many failures in a row, about requests of one origin, a plugin is not asked about those for a while.
	failuresToQuarantine = 5
	// originsToQuarantine is how many users, and in as many namespaces, must have come to that without anybody having had an answer
	// meanwhile, for the plugin not to be asked about anything for a while.
	originsToQuarantine = 3
	// firstBackOff is how long a while is. It doubles with each failure of the call by which it ends, up to lastBackOff, and up to
	// lastBackOffOfAll where it is everybody's.
	firstBackOff     = time.Second
	lastBackOff      = 5 * time.Minute
	lastBackOffOfAll = time.Minute
	// forgetFailures is after how long failures are no longer in a row with new ones, and a quarantine is over that nobody has tested.
	forgetFailures = 10 * time.Minute
	// maxOrigins is how many origins are kept of a role. Further ones are not quarantined.
	maxOrigins = 1000
	// maxQuarantinesShown is how many of them a status has.
	maxQuarantinesShown = 10
)

// Barred is the kind of a fault that is no guest's: the plugin is quarantined and was not asked.
const Barred sandbox.FaultKind = "quarantined"

// origin is whom failures are blamed on: a user's requests in a namespace. The service accounts of a namespace are one user, for whoever has
// one can make others. An authenticator, which is asked before there is a user, has an address for that, and what identifies the
// credentials for the namespace.
type origin struct{ who, where string }

// originOf is where a user's requests in a namespace come from.
func originOf(name, namespace string) origin {
	if home, _, err := serviceaccount.SplitUsername(name); err == nil {
		name = serviceaccount.ServiceAccountGroupPrefix + home
	}
	return origin{who: name, where: namespace}
}

// nobody reports whether it is not known who it is. Anybody could be that.
func (o origin) nobody() bool { return o.who == "" || o.who == user.Anonymous }

// about describes an origin's requests.
func (o origin) about(role sandbox.Role) string {
	switch {
	case role == sandbox.Authenticate && o.who == "":
		return "some credentials"
	case role == sandbox.Authenticate:
		return fmt.Sprintf("some credentials from %s", o.who)
	}
	whose := fmt.Sprintf("user %q", o.who)
	if home, found := strings.CutPrefix(o.who, serviceaccount.ServiceAccountGroupPrefix); found {
		whose = fmt.Sprintf("service accounts of namespace %q", home)
	}
	if o.where == "" {
		return whose + " outside of namespaces"
	}
	return fmt.Sprintf("%s in namespace %q", whose, o.where)
}

// streak is failures in a row.
type streak struct {
	failures int
	last     Failure
	// since is when they led to a quarantine, zero when they have not; until is when the next call may test whether it can end.
	since, until time.Time
	backOff      time.Duration
	// testing is set while that call is under way.
	testing bool
}

func (s *streak) quarantined() bool { return !s.since.IsZero() }

// closed reports whether nobody may be let through now.
func (s *streak) closed(now time.Time) bool { return s.testing || now.Before(s.until) }

// begin begins a quarantine.
func (s *streak) begin(now time.Time) {
	s.since, s.backOff = now, firstBackOff
	s.until = now.Add(s.backOff)
}

// prolong is what a test that failed does.
func (s *streak) prolong(now time.Time, most time.Duration) {
	s.backOff = min(2*s.backOff, most)
	s.until, s.testing = now.Add(s.backOff), false
}

// over reports whether nothing has been heard for so long that the streak means nothing any more.
func (s *streak) over(now time.Time) bool {
	heard := s.last.Time
	if s.until.After(heard) {
		heard = s.until
	}
	return !s.testing && now.Sub(heard) > forgetFailures
}

// conduct is how a revision behaves in one role. The zero value is ready. Its methods may be called from several goroutines.
type conduct struct {
	// watched is set while there is anything in origins or all: nobody else need take the lock.
	watched atomic.Bool

	mu      sync.Mutex // guards what follows
	origins map[origin]*streak
	// all counts failures since the last answer; it is quarantined when everybody is.
	all streak
	// suspects came into quarantine since the last answer.
	suspects []origin
	// spent are users that have led to a quarantine of everybody which an answer ended, so that it was not the plugin: they cannot do
	// so again until then.
	spent map[string]time.Time
}

// enter decides whether the plugin is asked about a request: then barred is nil. If the call is one by which a quarantine may end, tested is
// that one's streak, and leave must be called unless answered or failed are.
func (c *conduct) enter(from origin, role sandbox.Role, now time.Time) (tested *streak, barred *Quarantine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.origins[from]
	held := own != nil && own.quarantined()
	switch {
	case held && own.closed(now):
		return nil, own.quarantine(role, from.about(role))
	case c.all.quarantined() && (now.Before(c.all.until) || !held && (c.all.testing || c.suspected(from.who))):
		// Those who had it fail before could have it fail again, in another namespace.
		return nil, c.all.quarantine(role, "")
	case held:
		tested = own
	case c.all.quarantined():
		tested = &c.all
	default:
		return nil, nil
	}
	tested.testing = true
	return tested, nil
}

// leave ends a test that has come to nothing.
func (c *conduct) leave(tested *streak) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tested.testing = false
}

func (s *streak) quarantine(role sandbox.Role, about string) *Quarantine {
	return &Quarantine{Role: role, About: about, Since: s.since, Until: s.until, Failures: s.failures, Last: s.last}
}

// answered notes that the plugin has decided, and returns what ends by that.
func (c *conduct) answered(from origin, role sandbox.Role) (ended []*Quarantine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all.quarantined() {
		ended = append(ended, c.all.quarantine(role, ""))
		c.spend(c.all.last.Time.Add(forgetFailures))
	}
	c.all, c.suspects = streak{}, nil
	if own := c.origins[from]; own != nil {
		if own.quarantined() {
			ended = append(ended, own.quarantine(role, from.about(role)))
		}
		delete(c.origins, from)
	}
	c.watched.Store(len(c.origins) > 0 || len(c.spent) > 0)
	return ended
}

// failed notes that it could not, and returns what begins by that.
func (c *conduct) failed(from origin, failure Failure, tested *streak) (begun []*Quarantine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, role := failure.Time, failure.Role
	c.all.failures++
	c.all.last = failure
	if tested == &c.all {
		most := lastBackOffOfAll
		if c.mute(from, now) {
			most = c.all.backOff // once more, and no longer
		}
		c.all.prolong(now, most)
	}
	own := c.streakOf(from, now)
	if own == nil {
		return nil
	}
	own.failures++
	own.last = failure
	switch {
	case tested != nil && tested == own:
		own.prolong(now, lastBackOff)
	case own.quarantined() || own.failures < failuresToQuarantine: // in the first case it had begun before the quarantine
	default:
		own.begin(now)
		begun = append(begun, own.quarantine(role, from.about(role)))
		if !c.mute(from, now) {
			c.suspects = append(c.suspects, from)
		}
	}
	if len(begun) > 0 && !c.all.quarantined() && c.suspectsAll() {
		c.all.begin(now)
		begun = append(begun, c.all.quarantine(role, ""))
	}
	return begun
}

// streakOf is the origin's, begun anew if need be; nil if there are too many.
func (c *conduct) streakOf(from origin, now time.Time) *streak {
	own := c.origins[from]
	if own != nil && !own.quarantined() && own.over(now) {
		*own = streak{}
	}
	if own == nil {
		if len(c.origins) >= maxOrigins {
			return nil
		}
		if c.origins == nil {
			c.origins = map[origin]*streak{}
		}
		own = &streak{}
		c.origins[from] = own
		c.watched.Store(true)
	}
	return own
}

// suspected reports whether a user is among the suspects.
func (c *conduct) suspected(who string) bool {
	return slices.ContainsFunc(c.suspects, func(one origin) bool { return one.who == who })
}

// mute reports whether an origin's failures say nothing about what others would meet.
func (c *conduct) mute(from origin, now time.Time) bool {
	return from.nobody() || now.Before(c.spent[from.who])
}

// spend makes the suspects mute until then. Those who were mute and are no more are forgotten by tidy.
func (c *conduct) spend(until time.Time) {
	if c.spent == nil {
		c.spent = map[string]time.Time{}
	}
	for _, from := range c.suspects {
		c.spent[from.who] = until
	}
}

// suspectsAll reports whether there are so many suspects that it must be the plugin.
func (c *conduct) suspectsAll() bool {
	who, where := map[string]bool{}, map[string]bool{}
	for _, from := range c.suspects {
		who[from.who], where[from.where] = true, true
	}
	return min(len(who), len(where)) >= originsToQuarantine
}

// tidy forgets what is long past, and returns what ends by that.
func (c *conduct) tidy(role sandbox.Role, now time.Time) (ended []*Quarantine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for from, own := range c.origins {
		if !own.over(now) {
			continue
		}
		if own.quarantined() {
			ended = append(ended, own.quarantine(role, from.about(role)))
		}
		delete(c.origins, from)
		c.suspects = slices.DeleteFunc(c.suspects, func(one origin) bool { return one == from })
	}
	maps.DeleteFunc(c.spent, func(_ string, until time.Time) bool { return !now.Before(until) })
	if c.all.over(now) {
		if c.all.quarantined() {
			ended = append(ended, c.all.quarantine(role, ""))
		}
		c.all = streak{}
	}
	c.watched.Store(len(c.origins) > 0 || len(c.spent) > 0 || c.all.quarantined())
	return ended
}

// quarantines are those that there are, everybody's first and then the newest.
func (c *conduct) quarantines(role sandbox.Role) []Quarantine {
	if !c.watched.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Quarantine
	for from, own := range c.origins {
		if own.quarantined() {
			list = append(list, *own.quarantine(role, from.about(role)))
		}
	}
	slices.SortFunc(list, func(a, b Quarantine) int {
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.About, b.About))
	})
	list = list[:min(len(list), maxQuarantinesShown)]
	if c.all.quarantined() {
		list = slices.Insert(list, 0, *c.all.quarantine(role, ""))
	}
	return list
}

// conducts are those of a revision in all roles, a clean record at first.
type conducts [roleCount]conduct

func (c *conducts) of(role sandbox.Role) *conduct { return &c[place(allRoles(), role)] }

// quarantines are those of all roles.
func (c *conducts) quarantines() []Quarantine {
	if c == nil {
		return nil
	}
	var all []Quarantine
	for _, role := range allRoles() {
		all = append(all, c.of(role).quarantines(role)...)
	}
	return all
}
