package sandbox

import (
	"context"
	"errors"
	"time"

	"github.com/tetratelabs/wazero"
)

// instance is one running copy of a guest. One goroutine uses it at a time; the pool sees to that.
type instance struct {
	module *Module
	guest  Guest

	// work is what host functions need to know of the call under way.
	work work
	// written collects what the guest writes to stdout and stderr, and logs, during the call under way.
	written output
	// idleSince is when the instance last came back to the pool.
	idleSince time.Time
}

// work is one call's state on the host's side.
type work struct {
	// ctx ends at the guest's deadline.
	ctx context.Context
	// limit is how long ctx was given.
	limit  time.Duration
	fields Fields
	// pending is the last answer of a host function that did not fit the guest's buffer.
	pending []byte
}

// instanceKey finds the instance in the context of its own calls: a host function gets nothing else of ours.
type instanceKey struct{}

func instanceFrom(ctx context.Context) *instance { return ctx.Value(instanceKey{}).(*instance) }

// instantiate makes an instance ready for calls: whatever its protocol does to start a guest, within Limits.Start.
func (m *Module) instantiate(ctx context.Context) (*instance, error) {
	in := &instance{module: m, written: output{logger: m.options.Logger}}
	ctx, done := in.begin(ctx, m.options.Limits.Start, nil)
	defer done()
	guest, err := m.protocol.Start(ctx, &Machine{in: in})
	if err != nil {
		return nil, in.explain(err)
	}
	in.guest = guest
	return in, nil
}

// config gives the guest clocks, randomness and its log, and nothing else: no arguments, environment, files or sockets.
// Clocks are real because a guest that checks an expiry date against an invented one would let the expired in.
func (in *instance) config() wazero.ModuleConfig {
	return wazero.NewModuleConfig().
		WithName(""). // anonymous, so that many can live in one runtime
		WithStdout(&stream{in: in, to: &in.written.stdout}).
		WithStderr(&stream{in: in, to: &in.written.stderr}).
		WithSysWalltime().
		WithSysNanotime().
		WithNanosleep(in.sleep).
		WithRandSource(randomness{in})
}

// sleep lets a guest sleep no longer than it may run.
func (in *instance) sleep(ns int64) {
	timer := time.NewTimer(time.Duration(ns))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-in.work.ctx.Done():
	}
}

// call asks the guest in one role and has its answer read.
func (in *instance) call(ctx context.Context, role Role, request Request, accept func([]byte) error) error {
	ctx, done := in.begin(ctx, in.module.options.Limits.Deadline, request.Fields)
	defer done()
	payload, err := request.payloadFor(in.guest, role)
	if err != nil {
		return err
	}
	answer, err := in.guest.Call(ctx, role, payload)
	if err != nil {
		return in.explain(err)
	}
	if len(answer) == 0 {
		return in.explain(faultf(Garbled, "%s gave no answer", role))
	}
	return accept(answer)
}

// byField is a guest that may want no payload in a role: it looks at the review by Fields.
type byField interface{ byField(role Role) bool }

// payloadFor is what guest takes: making a payload that it does not look at would be most of what a call costs.
func (r Request) payloadFor(guest Guest, role Role) ([]byte, error) {
	if g, ok := guest.(byField); ok && g.byField(role) {
		return nil, nil
	}
	if r.Encode != nil {
		return r.Encode()
	}
	return r.Payload, nil
}

// begin opens a stretch of guest work that must end within limit, or at the caller's own deadline if that is sooner. The
// returned function closes it.
func (in *instance) begin(parent context.Context, limit time.Duration, fields Fields) (context.Context, func()) {
	if deadline, ok := parent.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), limit)
	ctx = context.WithValue(ctx, instanceKey{}, in)
	in.work = work{ctx: ctx, limit: limit, fields: fields}
	return ctx, func() {
		cancel()
		in.work = work{}
		in.written.flush()
	}
}

// explain adds to a fault what the guest wrote to stderr, which is where a language's runtime says why it gave up.
func (in *instance) explain(err error) error {
	var fault *Fault
	if last := in.written.lastWords(); last != "" && errors.As(err, &fault) {
		fault.Cause += ": " + last
	}
	return err
}

func (in *instance) close() {
	if in.guest != nil {
		in.guest.Close()
	}
}
