package command

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"gatehouse/plugins/cases"
)

// casesFile is where a plugin's cases are unless somebody says otherwise.
const casesFile = "cases.yaml"

func pluginTestCommand() command {
	return command{
		name:      "plugin test",
		arguments: []string{"FILE.wasm"},
		summary:   "ask a plugin about reviews and compare its answers",
		details: `The cases are in cases.yaml beside the plugin, or where --cases says: a list, each with the review as a server sends it and
what should become of it. The plugin runs as on a server, with the settings, rules and limits of the YAML beside it.

  - name: a Pod without an owner is denied
    settings: {label: owner}   # instead of those in FILE.yaml
    review:                    # or file: recorded.json; also TokenReview, RequestReview and SubjectAccessReview
      apiVersion: admission.k8s.io/v1
      kind: AdmissionReview
      request:                 # operation, kind, resource and user follow from the object where they are left out
        object: {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: default}}
    want:
      decision: denied         # or allowed, no opinion, failed, not asked, refused (the settings are)
      message: add the label   # a regular expression; also code, warnings, annotations, user,
                               # object (members that it has in the end), absent (pointers), unchanged: true
`,
		flags: func(p Program, set *pflag.FlagSet) func(context.Context) error {
			file := set.String("cases", "", "the `FILE` of the cases; unset means cases.yaml beside the plugin")
			logs := set.Bool("logs", false, "show what the plugin logged in cases that pass, too")
			return func(ctx context.Context) error {
				path := *file
				if path == "" {
					path = filepath.Join(filepath.Dir(set.Arg(0)), casesFile)
				}
				return p.testPlugin(ctx, set.Arg(0), path, *logs)
			}
		},
	}
}

func (p Program) testPlugin(ctx context.Context, plugin, casesPath string, logs bool) error {
	tested, err := cases.ReadPlugin(plugin)
	if err != nil {
		return err
	}
	all, err := cases.Load(casesPath)
	if err != nil {
		return err
	}
	results, err := tested.Run(ctx, all)
	if err != nil {
		return fmt.Errorf("test %s: %w", plugin, err)
	}
	failed := 0
	for _, result := range results {
		word := "pass"
		if len(result.Problems) > 0 {
			word = "FAIL"
			failed++
		}
		fmt.Fprintf(p.Stdout, "%s  %s (%s)\n", word, result.Name, result.Took.Round(time.Microsecond))
		p.indent(result.Problems)
		if logs || len(result.Problems) > 0 {
			p.indent(strings.Split(strings.TrimSpace(result.Log), "\n"))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d cases failed", failed, len(results))
	}
	_, err = fmt.Fprintf(p.Stdout, "all %d cases passed\n", len(results))
	return err
}

// indent prints lines below the one they belong to.
func (p Program) indent(lines []string) {
	for _, line := range lines {
		if line != "" {
			fmt.Fprintf(p.Stdout, "      %s\n", strings.ReplaceAll(line, "\n", "\n      "))
		}
	}
}
