package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/discovery"

	"gatehouse/engine/pluginapi"
	"gatehouse/engine/pluginapi/v1alpha1"
	"gatehouse/plugins/cases"
)

func pluginRecordCommand() command {
	return command{
		name:      "plugin record",
		arguments: []string{"NAME"},
		summary:   "record what a server asks a plugin, as cases for plugin test",
		details: `The cases are written to the standard output as they come:

  gatehouse plugin record owner-label --count 20 > cases.yaml
  gatehouse plugin test owner-label.wasm --cases cases.yaml

Each wants what became of the review on the server. Writes that a plugin lets pass in both phases are recorded once, as of the
phase mutate. What is secret in reviews (tokens, headers and queries that may hold credentials, what is in Secrets) is replaced by
"(hidden)"; with --credentials it is not. Nobody waits for a recording: when too much comes at once, calls are left out, and how many
is said in the end.

It takes the permission to get plugins/reviews in the API group plugins.gatehouse.dev, and with --credentials that to get
plugins/credentials.
`,
		flags: func(p Program, set *pflag.FlagSet) func(context.Context) error {
			count := set.Int64("count", pluginapi.DefaultReviews, "end after this many reviews")
			timeout := set.Duration("timeout", pluginapi.DefaultTime, "end after this time")
			credentials := set.Bool("credentials", false, "show credentials and other secrets")
			server := addServerFlags(set)
			return func(ctx context.Context) error {
				if *count < 1 || *count > pluginapi.MaxReviews {
					return usageError{fmt.Errorf("--count is %d, want 1 to %d", *count, pluginapi.MaxReviews)}
				}
				if *timeout < time.Second || *timeout > pluginapi.MaxTime {
					return usageError{fmt.Errorf("--timeout is %s, want 1s to %s", *timeout, pluginapi.MaxTime)}
				}
				options := v1alpha1.PluginReviewOptions{Count: *count, TimeoutSeconds: int64(timeout.Seconds()), Credentials: *credentials}
				return p.recordPlugin(ctx, set.Arg(0), options, server)
			}
		},
	}
}

func (p Program) recordPlugin(ctx context.Context, name string, options v1alpha1.PluginReviewOptions, server *serverFlags) error {
	config, err := server.config(p)
	if err != nil {
		return err
	}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	request := client.RESTClient().Get().
		AbsPath("/apis", v1alpha1.SchemeGroupVersion.Group, v1alpha1.SchemeGroupVersion.Version, "plugins", name, pluginapi.ReviewsSubresource).
		Param("count", fmt.Sprint(options.Count)).Param("timeoutSeconds", fmt.Sprint(options.TimeoutSeconds))
	if options.Credentials {
		request = request.Param("credentials", "true")
	}
	lines, err := request.Stream(ctx)
	if err != nil {
		return fmt.Errorf("record plugin %q: %w", name, err)
	}
	defer lines.Close()
	return p.writeCases(ctx, name, lines)
}

// writeCases writes a case for each record, until the server says that there are no more, or ctx ends.
func (p Program) writeCases(ctx context.Context, name string, lines io.Reader) error {
	recorded, hidden := 0, 0
	tell := func(format string, args ...any) {
		fmt.Fprintf(p.Stderr, "gatehouse: "+format+"\n", args...)
	}
	for decoder := json.NewDecoder(lines); ; {
		var line pluginapi.Line
		err := decoder.Decode(&line)
		switch {
		case err != nil && ctx.Err() != nil: // the user has had enough
			line.End = &pluginapi.End{Reason: "interrupted"}
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("record plugin %q: the server ended the connection after %d reviews", name, recorded)
		case err != nil:
			return fmt.Errorf("record plugin %q: %w", name, err)
		}
		switch {
		case line.Began != nil:
			tell("recording %s, revision %s", name, line.Began.Revision)
		case line.Record != nil:
			c, err := cases.FromRecord(name, line.Record)
			if err != nil {
				return err
			}
			text, err := c.YAML()
			if err != nil {
				return fmt.Errorf("write a case: %w", err)
			}
			if _, err := p.Stdout.Write(text); err != nil {
				return fmt.Errorf("write a case: %w", err)
			}
			recorded++
			if line.Record.Hidden {
				hidden++
			}
		case line.End != nil:
			tell("recorded %d reviews: %s", recorded, line.End.Reason)
			if hidden > 0 {
				tell("secrets are hidden in %d of them: put them back where the plugin's answer depends on them, or record with --credentials", hidden)
			}
			if line.End.Dropped > 0 {
				tell("%d more calls are left out, they came too fast", line.End.Dropped)
			}
			return nil
		}
	}
}
