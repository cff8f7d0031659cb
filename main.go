// Gatehouse is a Kubernetes API server as an appliance: one binary, SQLite inside, TLS by itself, and the gates that every
// request passes open to WebAssembly modules.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"gatehouse/engine"
	"gatehouse/engine/command"
	"gatehouse/engine/config"
	"gatehouse/engine/logs"
	"gatehouse/engine/pki"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // From then on a second signal ends the process at once.
	os.Exit(command.Program{
		Args:    os.Args[1:],
		Environ: os.Environ(),
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		NewServer: func(ctx context.Context, config config.Config, pki *pki.Bundle, logger *slog.Logger, recent *logs.Ring) (command.Server, error) {
			return engine.New(ctx, config, pki, logger, recent)
		},
	}.Run(ctx))
}
