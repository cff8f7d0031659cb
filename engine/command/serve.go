package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/pflag"

	"gatehouse/engine/config"
	"gatehouse/engine/datadir"
	"gatehouse/engine/logs"
	"gatehouse/engine/pki"
	"gatehouse/engine/version"
)

func serveCommand() command {
	return command{
		name:    "serve",
		summary: "start the server and serve until SIGTERM or Ctrl-C",
		details: `Settings come from the defaults, the file named by --config, variables of the environment, and flags; the later
override the earlier. Every flag is also a key of the file and a variable: --log-level is log.level in the file and
GATEHOUSE_LOG_LEVEL in the environment. ` + "`gatehouse config`" + ` prints all of them as a file.

On SIGTERM or Ctrl-C the server drains: it lets requests under way finish. A second signal ends it at once.
`,
		flags: func(p Program, set *pflag.FlagSet) func(context.Context) error {
			flags := config.AddFlags(set)
			return func(ctx context.Context) error {
				cfg, err := config.Load(config.Sources{Flags: flags, Environ: p.Environ})
				if err != nil {
					return err
				}
				return p.serve(ctx, cfg)
			}
		},
	}
}

// serve takes the data directory, the port and the keys, in this order, so that whoever starts a server twice hears of
// the one that runs, and then serves until ctx ends.
func (p Program) serve(ctx context.Context, cfg config.Config) (err error) {
	// The database, the plugins' cache and whatever else is yet to be written are no business of other users.
	syscall.Umask(0o077)
	held := &heldWriter{to: p.Stderr}
	defer held.release()
	recent := logs.NewRing(cfg.Log.Kept)
	logger := newLogger(held, recent, cfg.Log)
	if err := adoptLibraries(logger, cfg.Log.Level); err != nil {
		return err
	}

	dir, err := datadir.Open(cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()

	listener, err := listen(ctx, cfg.Listen)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // The server closes it too; this is for the ways that do not lead there.
	if err := dir.Announce(listener.Addr().String()); err != nil {
		return err
	}

	url := localURL(cfg.Listen, listener.Addr())
	bundle, err := pki.Ensure(pkiRequest(cfg, url, logger))
	if err != nil {
		return err
	}
	if p.NewServer == nil {
		return errors.New("this program was built without a server; build gatehouse from its main package")
	}
	server, err := p.NewServer(ctx, cfg, bundle, logger, recent)
	if err != nil {
		if ctx.Err() != nil {
			return nil // It was told to stop while it started.
		}
		return err
	}
	if err := greet(p.Stdout, cfg, url, bundle.AdminKubeconfig()); err != nil {
		logger.Warn("cannot print where the server listens", "error", err)
	}
	held.release()
	return run(ctx, server, listener, bundle)
}

// run serves and keeps the certificates fresh until ctx ends or serving fails.
func run(ctx context.Context, server Server, listener net.Listener, bundle *pki.Bundle) error {
	ctx, cancel := context.WithCancel(ctx)
	var maintaining sync.WaitGroup
	defer maintaining.Wait()
	defer cancel()
	maintaining.Go(func() { bundle.Maintain(ctx) })
	return server.Serve(ctx, listener)
}

func pkiRequest(cfg config.Config, url string, logger *slog.Logger) pki.Request {
	host, _, _ := net.SplitHostPort(cfg.Listen) // Load has checked it.
	return pki.Request{
		DataDir:      cfg.DataDir,
		ServerURL:    url,
		Names:        append([]string{host, cfg.AdvertiseAddress.String()}, cfg.Certificate.ExtraNames...),
		ServiceCIDRs: cfg.Services.CIDRs,
		Logger:       logger.With("part", "pki"),
	}
}

// greet says where the server listens and what to type next.
func greet(w io.Writer, cfg config.Config, url, kubeconfig string) error {
	_, err := fmt.Fprintf(w, `%s, serving Kubernetes %s
listening on %s%s
data in %s

  export KUBECONFIG=%s
  kubectl get namespaces

`, version.ReadBuild(), version.Kubernetes, url, reach(cfg.Listen, url), cfg.DataDir, shellQuote(kubeconfig))
	return err
}

// reach says who can connect, if that may surprise.
func reach(listen, url string) string {
	host, _, _ := net.SplitHostPort(listen) // Load has checked it.
	port := url[strings.LastIndex(url, ":")+1:]
	switch ip := net.ParseIP(host); {
	case host == "localhost" || ip != nil && ip.IsLoopback():
		return fmt.Sprintf(" (this machine only; --listen :%s lets others connect)", port)
	case host == "" || ip != nil && ip.IsUnspecified():
		return " and every other address of this machine"
	default:
		return ""
	}
}

// shellQuote quotes text for a shell if it needs to be.
func shellQuote(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@%:=,", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
