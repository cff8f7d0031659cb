package plugins

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/warning"

	"gatehouse/plugins/sandbox"
)

// gate asks the plugins of a set about writes.
type gate struct{ set *Set }

var (
	_ admission.MutationInterface   = (*gate)(nil)
	_ admission.ValidationInterface = (*gate)(nil)
)

// Handles reports whether there is anyone to ask; which requests concern whom is decided for each.
func (g *gate) Handles(admission.Operation) bool { return len(g.set.plugins()) > 0 }

// Admit asks the plugins of the phase mutate and applies their patches. They are not asked again when built-in members
// reinvoke the chain: the phase validate has the last word on the object.
func (g *gate) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if a.GetReinvocationContext().IsReinvoke() {
		return nil
	}
	return g.ask(ctx, &request{Attributes: a, phase: mutate, objects: o})
}

// Validate asks the plugins of the phase validate.
func (g *gate) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	return g.ask(ctx, &request{Attributes: a, phase: validate, objects: o})
}

// ask asks every plugin that the request concerns, until one denies it.
func (g *gate) ask(ctx context.Context, r *request) error {
	if r.exempt(g.set.exempt) || g.set.options.Exempt != nil && g.set.options.Exempt(ctx, r.Attributes) {
		return nil
	}
	var rev *review // made for the first plugin that is asked
	for _, p := range g.set.plugins() {
		c, err := g.concerned(ctx, r, p)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		if rev == nil {
			rev = newReview(r)
		}
		if err := c.ask(ctx, rev); err != nil {
			return err
		}
	}
	if rev == nil {
		return nil
	}
	return rev.finish()
}

// call is one plugin being asked about one request.
type call struct {
	set    *Set
	plugin *plugin
	state  *state
	target target
}

// concerned decides whether the plugin is to be asked, waiting for its first load if need be; nil when not.
func (g *gate) concerned(ctx context.Context, r *request, p *plugin) (*call, error) {
	for {
		s := p.state.Load()
		t, concerns, err := r.match(s.manifest)
		if err != nil || !concerns {
			return nil, err
		}
		if !s.pending() {
			return &call{set: g.set, plugin: p, state: s, target: t}, nil
		}
		if err := g.await(ctx, p, s); err != nil {
			return nil, err
		}
	}
}

// await waits for a plugin's first load.
func (g *gate) await(ctx context.Context, p *plugin, s *state) error {
	timer := time.NewTimer(g.set.options.LoadWait)
	defer timer.Stop()
	select {
	case <-s.loaded:
		return nil
	case <-ctx.Done():
		return timeout()
	case <-g.set.ctx.Done():
	case <-timer.C:
	}
	return apierrors.NewServiceUnavailable(fmt.Sprintf("admission plugin %q is still being loaded, try again", p.name))
}

// timeout is what upstream answers a request whose time is up.
func timeout() error {
	return apierrors.NewTimeoutError("request did not complete within requested timeout", 0)
}

// ask has the plugin decide and does what it decided.
func (c *call) ask(ctx context.Context, rev *review) error {
	if c.state.module == nil {
		return c.failed(ctx, rev, c.broken())
	}
	if err := rev.turnTo(c.target); err != nil {
		return err
	}
	v, err := c.decide(ctx, rev)
	if err == nil {
		err = c.carryOut(ctx, rev, v)
	}
	var fault *sandbox.Fault
	switch {
	case err == nil:
		return nil
	case errors.As(err, &fault):
		return c.failed(ctx, rev, fault)
	case ctx.Err() != nil:
		return timeout()
	default:
		return err
	}
}

// broken is the fault of a plugin that never loaded. It tells how to be rid of it, for it may be all that stands between the
// reader and a working server.
func (c *call) broken() *sandbox.Fault {
	return &sandbox.Fault{Kind: sandbox.Rejected, Cause: fmt.Sprintf("it did not load: %v; "+
		"repair %s%s in the server's plugin folder, or remove it to go on without", c.state.fault, c.plugin.name, moduleSuffix)}
}

// decide runs the guest. When its revision has been replaced since the request began, the new one is asked.
func (c *call) decide(ctx context.Context, rev *review) (verdict, error) {
	payload, err := rev.encoded()
	if err != nil {
		return verdict{}, err
	}
	var v verdict
	for {
		err := c.state.module.Call(ctx, sandbox.Admit, sandbox.Request{Payload: payload, Fields: rev}, func(answer []byte) error {
			var err error
			v, err = parseAnswer(answer, rev.uid)
			return err
		})
		if !errors.Is(err, sandbox.ErrClosed) {
			return v, err
		}
		next := c.plugin.state.Load()
		if next == c.state || next.module == nil {
			// The file has been removed, or the server is going. What the plugin would have said nobody knows.
			return v, apierrors.NewServiceUnavailable(fmt.Sprintf("admission plugin %q was removed during the request, try again", c.plugin.name))
		}
		c.state = next
	}
}

// carryOut passes on what the plugin said and applies its patch.
func (c *call) carryOut(ctx context.Context, rev *review, v verdict) error {
	for key, value := range v.AuditAnnotations {
		c.annotate(rev, c.plugin.name+"/"+key, value)
	}
	for _, text := range v.Warnings {
		warning.AddWarning(ctx, "", text)
	}
	if !v.Allowed {
		return denial(c.plugin.name, v.Result)
	}
	if len(v.patch) == 0 {
		return nil
	}
	changed, err := rev.patched(v.patch)
	if err != nil || changed == nil {
		return err
	}
	if rev.request.phase == validate {
		return sandbox.Garbledf("in the phase validate it answered a patch that would still change the object: " +
			"a plugin that patches must be content with its own work, or have admission.phases: [mutate]")
	}
	rev.replace(changed)
	rev.request.GetReinvocationContext().SetShouldReinvoke()
	return nil
}

// failed does what the plugin's failurePolicy says about a fault.
func (c *call) failed(ctx context.Context, rev *review, fault *sandbox.Fault) error {
	r := rev.request
	log := c.set.options.Logger.With("plugin", c.plugin.name, "revision", c.state.revision, "fault", fault.Kind, "cause", fault.Cause,
		"phase", r.phase, "operation", r.GetOperation(), "resource", r.GetResource().GroupResource().String(),
		"subresource", r.GetSubresource(), "namespace", r.GetNamespace(), "name", r.GetName())
	if fault.Detail != "" {
		log = log.With("detail", fault.Detail)
	}
	err := fmt.Errorf("failed calling admission plugin %q%s: %w", c.plugin.name, c.revision(), fault)
	if c.state.manifest.FailurePolicy == ignore {
		log.LogAttrs(ctx, slog.LevelWarn, "plugin failed, the request goes on without it")
		c.annotate(rev, fmt.Sprintf("%s.failed-open.plugins.gatehouse.dev/%s", r.phase, c.plugin.name), fault.Cause)
		warning.AddWarning(ctx, "", err.Error())
		return nil
	}
	log.LogAttrs(ctx, slog.LevelError, "plugin failed, the request is denied")
	return apierrors.NewInternalError(err)
}

// revision names the revision that failed, where there is one.
func (c *call) revision() string {
	if c.state.revision == "" {
		return ""
	}
	return fmt.Sprintf(" (revision %s)", c.state.revision)
}

// annotate adds to the request's audit event. A key the plugin made up may be refused, which is no reason to deny.
func (c *call) annotate(rev *review, key, value string) {
	if err := rev.request.AddAnnotation(key, value); err != nil {
		c.set.options.Logger.Warn("cannot add a plugin's audit annotation", "plugin", c.plugin.name, "key", key, "cause", err)
	}
}
