package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/sandbox"
)

// fields answers look-ups from a map; what is not in it is an error.
type fields map[string]sandbox.Value

func (f fields) Field(pointer string) (sandbox.Value, error) {
	value, ok := f[pointer]
	if !ok {
		return value, errors.New("not among the test's fields")
	}
	return value, nil
}

func TestAGuestLooksFieldsUp(t *testing.T) {
	long := strings.Repeat("ab", 1000)
	known := fields{
		"/absent": {},
		"/null":   {Kind: sandbox.Null, Text: []byte("null")},
		"/short":  {Kind: sandbox.String, Text: []byte("eightdig")},
		"/long":   {Kind: sandbox.String, Text: []byte(long)},
		"/empty":  {Kind: sandbox.String},
		"/list":   {Kind: sandbox.Array, Text: []byte("[1,2]")},
	}
	for _, test := range []struct {
		name, pointer, want string
		fields              sandbox.Fields
	}{
		{"what is not there is absent", "/absent", "0", known},
		{"null is not absent", "/null", "1null", known},
		{"a value that fits comes at once", "/short", "4eightdig", known},
		{"a value that does not fit is read afterwards", "/long", "4" + long, known},
		{"an empty string is a string", "/empty", "4", known},
		{"an array comes as JSON", "/list", "5[1,2]", known},
		{"an error of the look-up is a failure with its cause", "/nowhere", "7field /nowhere: not among the test's fields", known},
		{"without fields all is absent", "/short", "0", nil},
		{"a pointer of absurd length is a failure", "/" + long + long + long, "7the pointer has 6001 bytes, at most 4096 are looked up", known},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := load(t, guesttest.Read(t, "field"), sandbox.Options{Settings: []byte(test.pointer)})
			got, err := ask(m, sandbox.Request{Payload: []byte("x"), Fields: test.fields})
			if err != nil || got != test.want {
				t.Errorf("the guest sees %q (%v), want %q", got, err, test.want)
			}
		})
	}
}

func TestAGuestCallsOperations(t *testing.T) {
	type key struct{}
	echo := func(ctx context.Context, payload []byte) ([]byte, error) {
		if _, ok := ctx.Deadline(); !ok {
			return nil, errors.New("no deadline")
		}
		return fmt.Appendf(nil, "%v says %s", ctx.Value(key{}), payload), nil
	}
	broken := func(context.Context, []byte) ([]byte, error) { return nil, errors.New("out of order") }
	for _, test := range []struct {
		name, want string
		operations map[string]sandbox.Operation
	}{
		{"an operation gets payload, deadline and the request's values", "6request says hello", map[string]sandbox.Operation{"echo": echo}},
		{"an operation's error is a failure", "7host call echo: out of order", map[string]sandbox.Operation{"echo": broken}},
		{"an operation nobody provides is a failure", `7unknown host call "echo"`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := load(t, guesttest.Read(t, "operation"), sandbox.Options{Settings: []byte("hello"), Operations: test.operations})
			var got string
			ctx := context.WithValue(context.Background(), key{}, "request")
			err := m.Call(ctx, sandbox.Admit, sandbox.Request{Payload: []byte("x")}, func(answer []byte) error {
				got = string(answer)
				return nil
			})
			if err != nil || got != test.want {
				t.Errorf("the guest sees %q (%v), want %q", got, err, test.want)
			}
		})
	}
}

func TestWhatAGuestSaysIsLogged(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	m := load(t, guesttest.Read(t, "log"), sandbox.Options{Logger: logger.With("plugin", "chatty")})
	if _, err := ask(m, sandbox.Request{Payload: []byte("hear\nme")}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`level=DEBUG msg="hear me" plugin=chatty`,
		`level=INFO msg="hear me" plugin=chatty`,
		`level=WARN msg="hear me" plugin=chatty`,
		`level=ERROR msg="hear me" plugin=chatty`,
		`level=INFO msg="the guest wrote to stdout" plugin=chatty output="hear\nme"`,
		`level=WARN msg="the guest wrote to stderr" plugin=chatty output="hear\nme"`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
}

func TestAChattyGuestIsCutShort(t *testing.T) {
	var log strings.Builder
	m := load(t, guesttest.Read(t, "log"), sandbox.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if _, err := ask(m, sandbox.Request{Payload: []byte(strings.Repeat("x", 20000))}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "dropped=3616") || !strings.Contains(log.String(), "logged too much in one call") {
		t.Errorf("the log does not tell what was dropped:\n%.200s", log.String())
	}
	if log.Len() > 40000 {
		t.Errorf("one call added %d bytes to the log", log.Len())
	}
	log.Reset()
	if _, err := ask(m, sandbox.Request{Payload: []byte("again")}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "msg=again") {
		t.Errorf("the next call cannot log any more:\n%s", log.String())
	}
}
