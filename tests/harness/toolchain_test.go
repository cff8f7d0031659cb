package harness

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestOnlyMissingToolsAreExcusedAndNotInCI(t *testing.T) {
	missing := fmt.Errorf("compile: %w", &MissingTool{Language: "C", Tool: "clang", Install: "apt-get install clang"})
	for _, test := range []struct {
		name, ci string
		err      error
		want     bool
	}{
		{"a missing tool on a developer's machine", "", missing, true},
		{"a missing tool in CI", "true", missing, false},
		{"another error", "", errors.New("it does not compile"), false},
		{"no error", "", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("CI", test.ci)
			if got := Excused(test.err); got != test.want {
				t.Errorf("excused is %t, want %t", got, test.want)
			}
		})
	}
}

func TestAMissingCompilerIsSaidToBe(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := clangForWasm(t.Context())
	var missing *MissingTool
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "there is no clang: apt-get install clang lld wasi-libc") {
		t.Errorf("got %v", err)
	}
}
