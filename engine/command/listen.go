package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// listen opens the address that the configuration says, or explains why it cannot be had.
func listen(ctx context.Context, address string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err == nil {
		return listener, nil
	}
	return nil, fmt.Errorf("cannot listen on %s: %w", address, explainListen(address, err))
}

func explainListen(address string, err error) error {
	_, port, _ := net.SplitHostPort(address) // Load has checked it.
	var unknown *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("another program has that port, `ss -ltnp 'sport = :%s'` shows which; "+
			"stop it or choose another with --listen", port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("this machine has no such address; choose one that `ip address` shows, or --listen :%s for all of them", port)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("ports below 1024 are for root; choose a higher one with --listen, such as :6443")
	case errors.As(err, &unknown):
		return fmt.Errorf("the host name %s has no address (%s); choose an address with --listen", unknown.Name, unknown.Err)
	default:
		return fmt.Errorf("%w; choose another address with --listen", err)
	}
}

// localURL is where clients on this machine find a server that was told to listen on configured, and does on actual.
func localURL(configured string, actual net.Addr) string {
	host, port, _ := net.SplitHostPort(configured) // Load has checked it.
	if tcp, ok := actual.(*net.TCPAddr); ok {
		port = strconv.Itoa(tcp.Port) // Port 0 means any.
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if address, err := netip.ParseAddr(host); err == nil && address.IsUnspecified() {
		host = "127.0.0.1"
		if address.Is6() {
			host = "::1"
		}
	}
	return "https://" + net.JoinHostPort(host, port)
}
