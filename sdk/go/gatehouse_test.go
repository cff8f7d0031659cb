package gatehouse

import (
	"errors"
	"testing"

	"gatehouse/sdk/go/internal/host"
)

func TestPointersAreEscaped(t *testing.T) {
	for want, elements := range map[string][]string{
		"":                              nil,
		"/":                             {""},
		"/metadata/labels/app.io~1name": {"metadata", "labels", "app.io/name"},
		"/a~0b/~01":                     {"a~b", "~1"},
		"/spec/containers/0/image":      {"spec", "containers", "0", "image"},
	} {
		if got := Pointer(elements...); got != want {
			t.Errorf("Pointer(%q) is %q, want %q", elements, got, want)
		}
	}
}

func TestFieldsHaveKinds(t *testing.T) {
	defer func() { host.Fake.Field = nil }()
	host.Fake.Field = func(pointer string) (uint32, string) {
		switch pointer {
		case "/yes":
			return 2, "true"
		case "/string":
			return 4, "true"
		case "bad":
			return host.Failure, "a JSON pointer begins with /"
		}
		return 0, ""
	}
	if v := Field("/yes"); !v.Bool() || !v.Exists() || v.Kind() != Boolean || v.Text() != "true" {
		t.Errorf("true is %+v", v)
	}
	if v := Field("/string"); v.Bool() || v.Kind() != String {
		t.Errorf("a string is %+v", v)
	}
	if v := Field("/nowhere"); v.Exists() || v.Kind() != Absent || v.Text() != "" {
		t.Errorf("nothing is %+v", v)
	}
	defer func() {
		if recover() == nil {
			t.Error("a malformed pointer goes unnoticed")
		}
	}()
	Field("bad")
}

func TestSettingsAreTakenOrRefused(t *testing.T) {
	if err := configure([]byte("{}")); err != nil {
		t.Errorf("no settings are refused: %v", err)
	}
	if err := configure([]byte(`{"a":1}`)); err == nil {
		t.Error("settings are taken by a plugin that has none")
	}
	refused := errors.New("refused")
	OnConfigure(func([]byte) error { return refused })
	defer OnConfigure(nil)
	if err := configure([]byte("{}")); !errors.Is(err, refused) {
		t.Errorf("got %v, want the plugin's own error", err)
	}
}

func TestAFailedCallIsAnError(t *testing.T) {
	if _, err := Call("echo", nil); err == nil || err.Error() != "there is no host" {
		t.Errorf("got %v, want the host's failure", err)
	}
}
