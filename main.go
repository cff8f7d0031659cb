// Gatehouse is a Kubernetes API server as an appliance: one binary, SQLite inside, TLS by itself, and the gates that every
// request passes open to WebAssembly modules.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"gatehouse/engine/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // From then on a second signal ends the process at once.
	os.Exit(command.Program{
		Args:    os.Args[1:],
		Environ: os.Environ(),
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
	}.Run(ctx))
}
