package plugins

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apiserver/pkg/warning"

	"gatehouse/plugins/sandbox"
)

// call is one plugin being asked about one request in one role.
type call struct {
	set    *Set
	plugin *plugin
	state  *state
	role   sandbox.Role

	// from is where the request comes from, conduct the plugin's in such a role and test what the call may end; set by enter.
	from    func() origin
	conduct *conduct
	test    *streak
}

// unavailable is why nobody knows what a plugin would have said, for no fault of the plugin's.
type unavailable struct {
	role   sandbox.Role
	plugin string
	what   string
}

func (u *unavailable) Error() string {
	return fmt.Sprintf("%s plugin %q %s, try again", nounOf(u.role), u.plugin, u.what)
}

// nounOf is what messages to clients call a role.
func nounOf(role sandbox.Role) string {
	switch role {
	case sandbox.Authenticate:
		return "authentication"
	case sandbox.Authorize:
		return "authorization"
	default:
		return "admission"
	}
}

// concerned decides whether the plugin is to be asked in the role, waiting for its first load if need be; nil when not. matches is
// about the configuration in force.
func (s *Set) concerned(ctx context.Context, p *plugin, role sandbox.Role, matches func(*manifest) (bool, error)) (*call, error) {
	bit := roleBit(role)
	var until time.Time // when to give up waiting; zero before the first wait
	for {
		st := p.state.Load()
		if !st.roles.has(bit) {
			return nil, nil
		}
		concerns, err := matches(st.manifest)
		if err != nil || !concerns {
			return nil, err
		}
		if !st.pending() {
			return &call{set: s, plugin: p, state: st, role: role}, nil
		}
		if until.IsZero() {
			until = time.Now().Add(s.options.LoadWait)
		}
		if err := s.awaitLoad(ctx, p, st, role, until); err != nil {
			return nil, err
		}
	}
}

// awaitLoad waits until a plugin's first load has ended, or it is known what concerns it.
func (s *Set) awaitLoad(ctx context.Context, p *plugin, st *state, role sandbox.Role, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-st.loaded:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ctx.Done():
	case <-timer.C:
	}
	return &unavailable{role, p.name, "is still being loaded"}
}

// run asks the guest. When its revision has been replaced since the request began, the new one is asked. The error is a
// *sandbox.Fault, an *unavailable, accept's own, or that of ctx.
func (c *call) run(ctx context.Context, request sandbox.Request, accept func(answer []byte) error) error {
	if c.state.module == nil {
		return c.broken()
	}
	for {
		began := time.Now()
		err := c.state.module.Call(ctx, c.role, request, accept)
		if !errors.Is(err, sandbox.ErrClosed) {
			c.plugin.counts.took(c.role, time.Since(began))
			return err
		}
		next := c.plugin.state.Load()
		if next == c.state || next.module == nil || !next.roles.has(roleBit(c.role)) {
			// The file has been removed, or the server is going. What the plugin would have said nobody knows.
			return &unavailable{c.role, c.plugin.name, "was removed during the request"}
		}
		c.state = next
	}
}

// broken is the fault of a plugin that never loaded. It tells how to be rid of it, for it may be all that stands between the
// reader and a working server.
func (c *call) broken() *sandbox.Fault {
	configured := ""
	if c.plugin.configured != "" {
		configured = " and its configuration"
	}
	return &sandbox.Fault{Kind: sandbox.Rejected, Cause: fmt.Sprintf("it did not load: %v; "+
		"repair %s%s in the server's plugin folder, or remove it%s to go on without", c.state.fault, c.plugin.name, moduleSuffix, configured)}
}

// failed does what the plugin's failurePolicy says about a fault: the error is nil when the request is to go on without the plugin.
// place is where the request was, for audit and log; annotate adds to the request's audit event.
func (c *call) failed(ctx context.Context, fault *sandbox.Fault, place string, annotate func(key, value string), about ...slog.Attr) error {
	if c.state.module != nil && fault.Kind != Barred { // why a plugin did not load, or is not asked, is told by its status
		failure := c.failureOf(fault, c.set.now())
		c.plugin.failures.add(failure)
		if fault.Kind != Unevaluated {
			c.blamed(failure)
		}
	}
	c.plugin.counts.failed(c.role, fault.Kind)
	err := fmt.Errorf("failed calling %s plugin %q%s: %w", nounOf(c.role), c.plugin.name, c.revision(), fault)
	attrs := append([]slog.Attr{
		slog.String("plugin", c.plugin.name), slog.String("revision", c.state.revision), slog.Any("fault", fault.Kind),
		slog.String("cause", fault.Cause), slog.String("in", place), // what it quotes is for the client alone
	}, about...)
	if fault.Detail != "" {
		attrs = append(attrs, slog.String("detail", fault.Detail))
	}
	if c.state.manifest.FailurePolicy == ignore {
		c.count(ignoredResult)
		c.set.options.Logger.LogAttrs(ctx, levelOf(fault, slog.LevelWarn), "plugin failed, the request goes on without it", attrs...)
		annotate(fmt.Sprintf("%s.failed-open.plugins.gatehouse.dev/%s", place, c.plugin.name), fault.Cause)
		warning.AddWarning(ctx, "", err.Error())
		return nil
	}
	c.count(failedResult)
	c.set.options.Logger.LogAttrs(ctx, levelOf(fault, slog.LevelError), "plugin failed, "+consequence(c.role), attrs...)
	return err
}

// levelOf is the level at which a fault is logged: that of a quarantine has been said when it began.
func levelOf(fault *sandbox.Fault, level slog.Level) slog.Level {
	if fault.Kind == Barred {
		return slog.LevelDebug
	}
	return level
}

// consequence is what a failure means in a role.
func consequence(role sandbox.Role) string {
	if role == sandbox.Authenticate {
		return "it vouches for nobody"
	}
	return "the request is denied"
}

// revision names the revision that failed, where there is one.
func (c *call) revision() string {
	if c.state.revision == "" {
		return ""
	}
	return fmt.Sprintf(" (revision %s)", c.state.revision)
}

// count notes how the call ended.
func (c *call) count(r result) {
	c.plugin.counts.ended(c.role, r)
	if r != failedResult && r != ignoredResult {
		c.answered()
	}
}
