// Command upstream is the oracle of the conformance tests: the real kube-apiserver v1.37.2 on the real etcd, both in one
// process, behind the command line and the files by which the tests know gatehouse:
//
//	upstream serve --data-dir DIR --listen HOST:PORT [--advertise-address IP] [--storage-compaction-retention DURATION]
//
// It runs kube-apiserver's own options, defaults and server chain. What differs from its defaults stands in options.go. It is
// a module of its own so that neither the server's go.mod nor CI carries kube-apiserver and etcd.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
	_ "time/tzdata" // for time zones in CronJobs, as kube-apiserver has it

	_ "k8s.io/component-base/metrics/prometheus/clientgo" // as kube-apiserver has it
	_ "k8s.io/component-base/metrics/prometheus/version"  // as kube-apiserver has it
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// settings are what the tests say.
type settings struct {
	dataDir, listen, advertise string
	// retention is how often etcd is compacted, to what it was the time before.
	retention time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "upstream:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	etcd, err := startEtcd(filepath.Join(s.dataDir, "etcd"))
	if err != nil {
		return err
	}
	defer etcd.Close()

	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	keys, err := writeKeys(s.dataDir, "https://"+listener.Addr().String())
	if err != nil {
		return err
	}
	options, err := apiServerOptions(ctx, s, listener, keys, etcd.Clients[0].Addr().String())
	if err != nil {
		return err
	}
	if err := announce(s.dataDir, listener.Addr()); err != nil {
		return err
	}
	return app.Run(ctx, options)
}

func parse(args []string) (settings, error) {
	var s settings
	if len(args) == 0 || args[0] != "serve" {
		return s, errors.New("usage: upstream serve --data-dir DIR --listen HOST:PORT [--advertise-address IP]")
	}
	flags := flag.NewFlagSet("upstream serve", flag.ContinueOnError)
	flags.StringVar(&s.dataDir, "data-dir", "", "directory for etcd's files, the keys and the kubeconfig")
	flags.StringVar(&s.listen, "listen", "127.0.0.1:0", "where to serve HTTPS")
	flags.StringVar(&s.advertise, "advertise-address", "192.0.2.1", "address of the endpoint of the kubernetes Service")
	flags.DurationVar(&s.retention, "storage-compaction-retention", 5*time.Minute, "how long the past is kept")
	if err := flags.Parse(args[1:]); err != nil {
		return s, err
	}
	if s.dataDir == "" {
		return s, errors.New("--data-dir is required")
	}
	return s, nil
}

// announce tells the tests where the server listens, the way gatehouse does.
func announce(dataDir string, address net.Addr) error {
	text, err := json.Marshal(map[string]any{"pid": os.Getpid(), "listen": address.String()})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dataDir, "lock"), text, 0o600)
}
