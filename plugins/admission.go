package plugins

import (
	"context"
	"errors"
	"log/slog"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/warning"

	"gatehouse/plugins/sandbox"
)

// gate asks the selected plugins of a set about writes.
type gate struct {
	set       *Set
	selection Selection
}

var (
	_ admission.MutationInterface   = (*gate)(nil)
	_ admission.ValidationInterface = (*gate)(nil)
)

// Handles reports whether there is anyone to ask; which requests concern whom is decided for each.
func (g *gate) Handles(admission.Operation) bool { return len(g.set.roster.Load().admit) > 0 }

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
	if r.exempt(g.set.exempt) || g.set.ownRequest(ctx) {
		return nil
	}
	var rev *review // made for the first plugin that is asked
	asked, err := g.set.roster.Load().admitting(r, &g.set.namespaces)
	if err != nil {
		return err
	}
	seen := labelsOf(r.Attributes)
	for i := range asked {
		if !g.selection.has(asked[i].plugin.name) {
			continue
		}
		if selector := asked[i].objects; selector != nil && !seen.match(selector) {
			continue
		}
		c, err := g.concerned(ctx, r, asked[i].plugin, rev)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		if rev == nil {
			rev = newReview(r)
		}
		if wanted, err := c.wanted(ctx, rev); err != nil {
			return err
		} else if !wanted {
			continue
		}
		if err := c.ask(ctx, rev); err != nil {
			return err
		}
		seen = labelsOf(rev.seen())
	}
	if rev == nil {
		return nil
	}
	return rev.finish()
}

// writer is one plugin being asked about one write.
type writer struct {
	*call
	target target
}

// concerned decides by rules and selectors whether the plugin is to be asked, waiting for its first load if need be; nil when not. rev holds
// what the plugins before it have changed; nil when none was asked.
func (g *gate) concerned(ctx context.Context, r *request, p *plugin, rev *review) (*writer, error) {
	seen := r.Attributes
	if rev != nil {
		seen = rev.seen()
	}
	var t target
	c, err := g.set.concerned(ctx, p, sandbox.Admit, func(m *manifest) (concerns bool, err error) {
		if t, concerns, err = r.match(m); err != nil || !concerns {
			return false, err
		}
		return m.Admission.selectors.selects(seen, &g.set.namespaces)
	})
	switch {
	case err == nil && c == nil:
		return nil, nil
	case err != nil:
		return nil, statusOf(ctx, err)
	}
	return &writer{c, t}, nil
}

// wanted reports whether the plugin's matchConditions want it to be asked. When they cannot be evaluated the failurePolicy decides.
func (c *writer) wanted(ctx context.Context, rev *review) (bool, error) {
	matcher := c.state.manifest.Admission.matcher
	if matcher == nil {
		return true, nil
	}
	if err := rev.turnTo(c.target); err != nil {
		return false, err
	}
	found := matcher.Match(ctx, rev.versioned, nil, c.set.options.Authorizer)
	if found.Error == nil {
		return found.Matches, nil
	}
	if ctx.Err() != nil {
		return false, statusOf(ctx, found.Error)
	}
	return false, c.denyFor(ctx, rev, unevaluated("admission.matchConditions", found.Error))
}

// statusOf turns what kept a plugin from being asked into a Status.
func statusOf(ctx context.Context, err error) error {
	var u *unavailable
	switch {
	case errors.As(err, &u):
		return apierrors.NewServiceUnavailable(u.Error())
	case ctx.Err() != nil:
		return timeout()
	}
	return err
}

// timeout is what upstream answers a request whose time is up.
func timeout() error {
	return apierrors.NewTimeoutError("request did not complete within requested timeout", 0)
}

// ask has the plugin decide and does what it decided.
func (c *writer) ask(ctx context.Context, rev *review) error {
	if c.state.module == nil {
		return c.denyFor(ctx, rev, c.broken())
	}
	if fault := c.enter(func() origin { return originOfWrite(rev.request.Attributes) }); fault != nil {
		return c.denyFor(ctx, rev, fault)
	}
	defer c.leave()
	if err := rev.turnTo(c.target); err != nil {
		return err
	}
	v, err := c.decide(ctx, rev)
	var asked []byte // nil unless somebody records the plugin
	if c.recorded() {
		asked, _ = rev.encoded() // now, for carrying out may change what it holds; without it there is no record
	}
	if err == nil {
		err = c.carryOut(ctx, rev, v)
	}
	if asked != nil {
		c.recordWrite(rev, asked, v, err)
	}
	var fault *sandbox.Fault
	switch {
	case errors.As(err, &fault):
		return c.denyFor(ctx, rev, fault)
	case err != nil:
		return statusOf(ctx, err)
	}
	c.count(allowedResult)
	return nil
}

// originOfWrite is its user and namespace.
func originOfWrite(a admission.Attributes) origin {
	name := ""
	if user := a.GetUserInfo(); user != nil {
		name = user.GetName()
	}
	return originOf(name, a.GetNamespace())
}

// decide runs the guest.
func (c *writer) decide(ctx context.Context, rev *review) (verdict, error) {
	var v verdict
	err := c.run(ctx, sandbox.Request{Encode: rev.encoded, Fields: rev}, func(answer []byte) error {
		var err error
		v, err = parseAnswer(answer, rev.uid)
		return err
	})
	return v, err
}

// carryOut passes on what the plugin said and applies its patch.
func (c *writer) carryOut(ctx context.Context, rev *review, v verdict) error {
	for key, value := range v.AuditAnnotations {
		c.annotate(rev, c.plugin.name+"/"+key, value)
	}
	for _, text := range v.Warnings {
		warning.AddWarning(ctx, "", text)
	}
	if !v.Allowed {
		c.count(deniedResult)
		return denial(c.plugin.name, v.Result)
	}
	if v.patch.Len() == 0 {
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

// denyFor denies a request because of a fault, unless the plugin's failurePolicy says otherwise.
func (c *writer) denyFor(ctx context.Context, rev *review, fault *sandbox.Fault) error {
	r := rev.request
	err := c.failed(ctx, fault, string(r.phase), func(key, value string) { c.annotate(rev, key, value) },
		slog.Any("operation", r.GetOperation()), slog.String("resource", r.GetResource().GroupResource().String()),
		slog.String("subresource", r.GetSubresource()), slog.String("namespace", r.GetNamespace()), slog.String("name", r.GetName()))
	if err == nil {
		return nil
	}
	if fault.Kind == Unevaluated { // as upstream answers
		return apierrors.NewForbidden(r.GetResource().GroupResource(), r.GetName(), err)
	}
	return apierrors.NewInternalError(err)
}

// annotate adds to the request's audit event. A key the plugin made up may be refused, which is no reason to deny.
func (c *writer) annotate(rev *review, key, value string) {
	if err := rev.request.AddAnnotation(key, value); err != nil {
		c.set.options.Logger.Warn("cannot add a plugin's audit annotation", "plugin", c.plugin.name, "key", key, "cause", err)
	}
}
