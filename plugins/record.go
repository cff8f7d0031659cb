package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/authenticator"

	"gatehouse/plugins/sandbox"
)

const (
	// maxRecordings is how many of a set may be under way at once.
	maxRecordings = 4
	// recordingQueue and recordingBytes are how many records, and how many bytes of reviews, wait for whoever takes them. Beyond that they
	// are dropped.
	recordingQueue = 256
	recordingBytes = 8 << 20
)

var (
	// ErrNoPlugin says that there is no plugin of that name.
	ErrNoPlugin = errors.New("there is no such plugin")
	// ErrTooManyRecordings says that others record already.
	ErrTooManyRecordings = fmt.Errorf("%d recordings are under way already: wait until one ends", maxRecordings)
	// ErrPluginGone ends the recording of a plugin that was removed.
	ErrPluginGone = errors.New("the plugin was removed")
)

// Record is one call of a plugin: what it was asked and what became of it.
type Record struct {
	// Time is when the call ended.
	Time time.Time `json:"time"`
	// Revision is the one that was asked.
	Revision string       `json:"revision"`
	Role     sandbox.Role `json:"role"`
	// Phase is mutate or validate, in the role admit.
	Phase string `json:"phase,omitempty"`
	// Review is what the plugin was asked. Hidden says that credentials in it, and what else is secret, have been replaced.
	Review json.RawMessage `json:"review"`
	Hidden bool            `json:"hidden,omitempty"`
	// Decision is allowed, denied, no_opinion or failed; for a failure Message is the cause, and otherwise what the plugin said.
	Decision string `json:"decision"`
	Code     int32  `json:"code,omitempty"`
	Message  string `json:"message,omitempty"`
	// Warnings, Annotations and Patch are those of an answer in the role admit; Patch is a JSON patch.
	Warnings    []string          `json:"warnings,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Patch       json.RawMessage   `json:"patch,omitempty"`
	// User is who was let in, in the role authenticate.
	User *authenticationv1.UserInfo `json:"user,omitempty"`
}

// Recording takes what one plugin is asked, as long as it is open. Requests never wait for it. One goroutine reads it.
type Recording struct {
	set         *Set
	plugin      *plugin
	credentials bool
	records     chan *Record
	bytes       atomic.Int64 // of reviews in records
	dropped     atomic.Uint64
	gone        chan struct{} // closed when the plugin's file has been removed
}

// Record begins to record what the plugin called name is asked, by whichever revision serves. With credentials nothing is hidden. The
// caller must close the recording. The error is ErrNoPlugin or ErrTooManyRecordings.
func (s *Set) Record(name string, credentials bool) (*Recording, error) {
	i := slices.IndexFunc(s.plugins(), func(p *plugin) bool { return p.name == name })
	if i < 0 {
		return nil, ErrNoPlugin
	}
	if s.recordings.Add(1) > maxRecordings {
		s.recordings.Add(-1)
		return nil, ErrTooManyRecordings
	}
	r := &Recording{set: s, plugin: s.plugins()[i], credentials: credentials,
		records: make(chan *Record, recordingQueue), gone: make(chan struct{})}
	r.plugin.change(func(all []*Recording) []*Recording { return append(all, r) })
	return r, nil
}

// Close ends the recording. It must be called once, when nobody is in Next.
func (r *Recording) Close() {
	r.plugin.change(func(all []*Recording) []*Recording {
		return slices.DeleteFunc(all, func(other *Recording) bool { return other == r })
	})
	r.set.recordings.Add(-1)
}

// Revision is the one that serves now; empty if none does.
func (r *Recording) Revision() string { return r.plugin.state.Load().revision }

// Dropped is how many calls are missing because Next was not called in time.
func (r *Recording) Dropped() uint64 { return r.dropped.Load() }

// Next waits for the next call. The record is the caller's. The error is ErrPluginGone or the cause of ctx's end.
func (r *Recording) Next(ctx context.Context) (*Record, error) {
	select {
	case record := <-r.records:
		r.bytes.Add(-int64(len(record.Review)))
		if !r.credentials {
			record.hide()
		}
		return record, nil
	case <-r.gone:
		return nil, ErrPluginGone
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// offer takes a record if there is room.
func (r *Recording) offer(record Record) {
	size := int64(len(record.Review))
	if r.bytes.Add(size) > recordingBytes {
		r.bytes.Add(-size)
		r.dropped.Add(1)
		return
	}
	select {
	case r.records <- &record:
	default:
		r.bytes.Add(-size)
		r.dropped.Add(1)
	}
}

// change replaces the recordings under way; nil stands for none, so that requests look at no more than that. Once the file has gone
// they are told.
func (p *plugin) change(with func([]*Recording) []*Recording) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*Recording
	if current := p.recordings.Load(); current != nil {
		all = slices.Clone(*current)
	}
	before := len(all)
	if all = with(all); len(all) == 0 {
		p.recordings.Store(nil)
		return
	}
	p.recordings.Store(&all)
	if p.gone && len(all) > before {
		close(all[len(all)-1].gone)
	}
}

// endRecordings tells those who record a plugin that it has gone. The caller holds mu.
func (p *plugin) endRecordings() {
	if all := p.recordings.Load(); all != nil {
		for _, r := range *all {
			close(r.gone)
		}
	}
}

// recorded reports whether anybody records the plugin. It is all that the others pay.
func (c *call) recorded() bool { return c.plugin.recordings.Load() != nil }

// record offers what became of a call to those who record the plugin. review must not change any more.
func (c *call) record(record Record, review []byte, err error) {
	all := c.plugin.recordings.Load()
	if all == nil || len(review) == 0 {
		return
	}
	record.Time, record.Role, record.Revision, record.Review = time.Now(), c.role, c.state.revision, review
	var fault *sandbox.Fault
	if errors.As(err, &fault) {
		if c.state.module == nil || fault.Kind == Barred || fault.Kind == Unevaluated {
			return // it was not asked
		}
		record = Record{Time: record.Time, Role: record.Role, Revision: record.Revision, Phase: record.Phase, Review: review,
			Decision: string(failedResult), Message: fault.Cause}
	}
	for _, r := range *all {
		r.offer(record)
	}
}

// recordWrite records what was made of an admission review. An accepted review of the phase validate is not worth a case where the phase
// mutate has one of the same write: cases go through both.
func (c *writer) recordWrite(rev *review, review []byte, v verdict, err error) {
	record := Record{Phase: string(rev.request.phase), Decision: string(allowedResult)}
	if v.AdmissionResponse != nil {
		record.Warnings, record.Annotations, record.Patch = v.Warnings, v.AuditAnnotations, v.Patch
	}
	var denied apierrors.APIStatus
	switch {
	case errors.As(err, &denied):
		record.Decision, record.Code = string(deniedResult), denied.Status().Code
		if v.AdmissionResponse != nil && v.Result != nil {
			record.Message = v.Result.Message
		}
	case err == nil && rev.request.phase == validate && slices.Contains(c.state.manifest.Admission.Phases, mutate):
		return
	case err != nil && !isFault(err):
		return // what the plugin would have said nobody knows
	}
	c.record(record, review, err)
}

func isFault(err error) bool {
	var fault *sandbox.Fault
	return errors.As(err, &fault)
}

// recordIdentity records what was made of a token or request review.
func (c *call) recordIdentity(review identityReview, response *authenticator.Response, err error) {
	payload, failed := json.Marshal(review)
	if failed != nil || err != nil && errors.Is(err, context.Canceled) {
		return
	}
	record := Record{Decision: string(noOpinionResult)}
	switch {
	case response != nil:
		record.Decision = string(allowedResult)
		record.User = &authenticationv1.UserInfo{Username: response.User.GetName(), UID: response.User.GetUID(), Groups: response.User.GetGroups()}
		for key, values := range response.User.GetExtra() {
			if record.User.Extra == nil {
				record.User.Extra = map[string]authenticationv1.ExtraValue{}
			}
			record.User.Extra[key] = values
		}
	case err != nil && !isFault(err):
		record.Decision = string(deniedResult)
		record.Message = strings.TrimPrefix(err.Error(), fmt.Sprintf("authentication plugin %q: ", c.plugin.name))
	}
	c.record(record, payload, err)
}
