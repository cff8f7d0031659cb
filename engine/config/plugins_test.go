package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// withPlugin is a file that configures one plugin; the lines begin with the third.
func withPlugin(lines ...string) string {
	return "plugins:\n  configurations:\n    " + strings.Join(lines, "\n    ") + "\n"
}

func TestTheFileMayConfigurePlugins(t *testing.T) {
	c, err := load(t, withPlugin("owner-label:", "  failurePolicy: Ignore # for now", "  settings:", "    key: \"007\"",
		"    # key: \"0070\"", "  # settings: {key: \"00700\"}", "off:"), nil, "--plugins-deadline", "2s")
	if err != nil {
		t.Fatal(err)
	}
	got := c.Plugins.Configurations
	if len(got) != 1 || !strings.HasSuffix(got["owner-label"].Origin, "gatehouse.yaml:3") {
		t.Fatalf("the configurations are %+v, want that of owner-label in line 3", got)
	}
	text, err := Format(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := load(t, string(text), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if diff := cmp.Diff(string(got["owner-label"].YAML), string(again.Plugins.Configurations["owner-label"].YAML)); diff != "" {
		t.Errorf("(-printed +loaded):\n%s\n%s", diff, text)
	}
	shown, err := c.WithoutSecrets()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := Format(shown); err != nil || strings.Contains(string(text), "007") || !strings.Contains(string(text), "settings: (not shown)") {
		t.Errorf("%v, and shown is\n%s", err, text)
	}
}

func TestMistakesInAPluginsConfigurationAreNamedWithTheirLine(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		want []string
	}{
		"an unknown key": {
			withPlugin("a:", "  admission:", "    phase: [mutate]"),
			[]string{`:5: plugins.configurations.a: unknown field "admission.phase"`},
		},
		"a value that cannot be": {
			withPlugin("a:", "  roles: [admit]", "  failurePolicy: Maybe"),
			[]string{`:5: plugins.configurations.a: failurePolicy: "Maybe" is neither Fail nor Ignore`},
		},
		"an expression in a list": {
			withPlugin("a:", "  admission:", "    matchConditions:", "    - {name: a, expression: \"true\"}", "    - name: b", "      expression: object."),
			[]string{`:8: plugins.configurations.a: admission.matchConditions[1].expression: "object.": compilation failed`},
		},
		"a key that is missing": {
			withPlugin("a:", "  admission:", "    rules:", "    - {operations: [CREATE]}"),
			[]string{`:6: plugins.configurations.a: admission.rules[0].apiGroups: is missing`},
		},
		"a value of another type, in all of several plugins": {
			withPlugin("a:", "  roles: admit", "b:", "  limits: 5"),
			[]string{`:3: plugins.configurations.a: json: cannot unmarshal`, `:5: plugins.configurations.b: json: cannot unmarshal`},
		},
		"a plugin configured twice": {
			withPlugin("a: {roles: [admit]}", "a: {}"),
			[]string{`:4: plugins.configurations.a is set a second time, first on line 3; keep one`},
		},
		"a name that no file could have": {
			withPlugin("owner_label: {}"),
			[]string{`:3: plugins.configurations: "owner_label" is no plugin's name`},
		},
		"a plugin that is a value":     {withPlugin("a: Ignore"), []string{`:3: plugins.configurations.a is not a section, want what a.yaml could hold below it`}},
		"a list of plugins":            {"plugins:\n  configurations: [a]\n", []string{`:2: plugins.configurations is not a section, want the names of plugins below it`}},
		"an alias":                     {withPlugin("a: {settings: {a: &x 1, b: *x}}"), []string{`:3: plugins.configurations.a uses an anchor or an alias`}},
		"another word for the section": {"plugins:\n  configuration: {a: {}}\n", []string{`:2: unknown key "plugins.configuration"; did you mean plugins.configurations?`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, test.file, nil)
			if err == nil {
				t.Fatal("no error")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Errorf("%d mistakes, want %d:\n%s", len(lines), len(test.want), err)
			}
			for i, want := range test.want[:min(len(lines), len(test.want))] {
				if !strings.Contains(lines[i], want) {
					t.Errorf("got  %s\nwant %s", lines[i], want)
				}
			}
		})
	}
}
