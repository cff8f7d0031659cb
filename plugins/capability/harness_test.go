package capability_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"gatehouse/plugins/capability"
	"gatehouse/plugins/sandbox"
)

// operations are a plugin's, by the section capabilities of its configuration.
type operations struct {
	t     *testing.T
	table map[string]sandbox.Operation
}

func grants(t *testing.T, text string) capability.Grants {
	t.Helper()
	var g capability.Grants
	if err := yaml.UnmarshalStrict([]byte(text), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func granted(t *testing.T, host capability.Host, text string) *operations {
	t.Helper()
	table, err := host.Operations("guest", grants(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return &operations{t, table}
}

// ask calls an operation with a payload in JSON and returns its answer, or "error: " and what the error says.
func (o *operations) ask(name, payload string) string {
	o.t.Helper()
	return o.askIn(o.t.Context(), name, payload)
}

func (o *operations) askIn(ctx context.Context, name, payload string) string {
	o.t.Helper()
	answer, err := o.table[name](ctx, []byte(payload))
	if err != nil {
		return "error: " + err.Error()
	}
	if !json.Valid(answer) {
		o.t.Errorf("%s answers %q, which is no JSON", name, answer)
	}
	return string(answer)
}

// encoded is v as JSON.
func encoded(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// clock is a time that tests move.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time          { return c.now }
func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

// expect compares an answer: all of it, or if want ends in … its beginning, or if it begins with … a part.
func expect(t *testing.T, what, got, want string) {
	t.Helper()
	part, inside := strings.CutPrefix(want, "…")
	begin, open := strings.CutSuffix(want, "…")
	switch {
	case inside && strings.Contains(got, part), !inside && open && strings.HasPrefix(got, begin), got == want:
	default:
		t.Errorf("%s\ngot  %s\nwant %s", what, got, want)
	}
}
