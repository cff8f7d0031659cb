package sdk_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gatehouse/plugins/field"
	"gatehouse/plugins/sandbox"
)

// TestFailuresOfGuestsAreTold has the vector guests fail in memory that is too small, and otherwise.
func TestFailuresOfGuestsAreTold(t *testing.T) {
	const little = 4 << 20
	for _, guest := range []struct {
		name string
		want map[string]string // cause by case
	}{
		{"vectors-c", map[string]string{
			"a panic":                           "the guest trapped: unreachable: as it was told",
			"a malformed pointer":               "the guest trapped: unreachable: look-up of no slash: ",
			"a review that is not looked at":    "",
			"no memory for what is looked up":   "the guest trapped: unreachable: out of memory: ",
			"memory is had again after failure": "",
		}},
		{"vectors-rust", map[string]string{
			"a panic":                           "as it was told",
			"a malformed pointer":               "look-up of no slash: ",
			"a review that is not looked at":    "",
			"no memory for what is looked up":   "the guest trapped: unreachable",
			"memory is had again after failure": "",
		}},
	} {
		t.Run(guest.name, func(t *testing.T) {
			module, err := sandbox.Load(t.Context(), compiled(t, guest.name), sandbox.Options{
				Logger: slog.New(slog.DiscardHandler),
				Limits: sandbox.Limits{Deadline: time.Minute, Start: time.Minute, Instances: 1, Memory: little},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer module.Close()
			for _, test := range []struct {
				name, word string
				text       int // the length of the text that is looked up
			}{
				{"a panic", "trap", 0},
				{"a malformed pointer", "malformed", 0},
				{"a review that is not looked at", "allow", 5 << 20},
				{"no memory for what is looked up", "warn", 1 << 20},
				{"memory is had again after failure", "warn", 1 << 10},
			} {
				t.Run(test.name, func(t *testing.T) {
					err := admit(t, module, test.word, strings.Repeat("x", test.text))
					want := guest.want[test.name]
					if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
						t.Errorf("the call failed with %v, want %q", err, want)
					}
				})
			}
		})
	}
}

// admit has a vector guest do what the word says, and returns the failure.
func admit(t *testing.T, module *sandbox.Module, word, text string) error {
	t.Helper()
	payload, err := json.Marshal(map[string]any{"request": map[string]any{
		"uid": "u-1", "name": word, "object": map[string]any{"data": map[string]string{"warning": text}}}})
	if err != nil {
		t.Fatal(err)
	}
	fields, err := field.Parse(payload)
	if err != nil {
		t.Fatal(err)
	}
	err = module.Call(t.Context(), sandbox.Admit, sandbox.Request{Payload: payload, Fields: fields}, func([]byte) error { return nil })
	var fault *sandbox.Fault
	if err != nil && !errors.As(err, &fault) {
		t.Fatal(err)
	}
	return err
}

// TestSettingsMayBeDeep: guests have little stack, which reading them must not use up.
func TestSettingsMayBeDeep(t *testing.T) {
	for _, guest := range []string{"vectors-c", "vectors-rust"} {
		t.Run(guest, func(t *testing.T) {
			settings := []byte(`{"prefix":` + strings.Repeat("[", 511) + strings.Repeat("]", 511) + `}`)
			fields, err := field.Parse(settings)
			if err != nil {
				t.Fatal(err)
			}
			_, err = sandbox.Load(t.Context(), compiled(t, guest), sandbox.Options{
				Logger: slog.New(slog.DiscardHandler), Settings: settings, SettingsFields: fields,
				Limits: sandbox.Limits{Deadline: time.Minute, Start: time.Minute, Instances: 1},
			})
			if want := "refuses its settings: prefix: is no text"; err == nil || err.Error() != want {
				t.Errorf("the guest came up with %v, want %q", err, want)
			}
		})
	}
}
