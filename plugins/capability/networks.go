package capability

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
)

// networks are the addresses that may be connected to, besides those that are everybody's.
type networks []netip.Prefix

func parseNetworks(texts []string) (networks, error) {
	var list networks
	for i, text := range texts {
		network, err := netip.ParsePrefix(text)
		if err != nil || network != network.Masked() {
			return nil, fmt.Errorf("networks[%d]: %q is no network: write it as 10.0.0.0/8", i, text)
		}
		list = append(list, network)
	}
	return list, nil
}

// control is a net.Dialer's ControlContext. It sees the address that a connection is about to be made to, after the name has been
// looked up: a name that leads elsewhere by then leads nowhere.
func (n networks) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connect to %s: not an address: %w", address, err)
	}
	if n.allow(target.Addr()) {
		return nil
	}
	return fmt.Errorf("the address %s is not public, and not granted to this plugin: add its network to capabilities.http.networks "+
		"of its YAML file if it is meant to be reached", target.Addr())
}

func (n networks) allow(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	for _, network := range n {
		if network.Contains(address) {
			return true
		}
	}
	return public(address)
}

// public says whether an address is one that anybody on the internet can have: not this machine's, its networks', nor one of those
// at which clouds tell machines their secrets.
func public(address netip.Addr) bool {
	if !address.IsGlobalUnicast() || address.IsPrivate() {
		return false // loopback, link-local (169.254.169.254 among them), multicast and unspecified addresses
	}
	if address.Is6() && !netip.MustParsePrefix("2000::/3").Contains(address) {
		return false
	}
	for _, special := range specialNetworks() {
		if special.Contains(address) {
			return false
		}
	}
	return true
}

// specialNetworks are of IANA's registries of special addresses what net/netip does not know, and one cloud's own.
func specialNetworks() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),
		netip.MustParsePrefix("100.64.0.0/10"), // shared by providers; Alibaba's metadata
		netip.MustParsePrefix("192.0.0.0/24"),  // Oracle's metadata
		netip.MustParsePrefix("192.0.2.0/24"),
		netip.MustParsePrefix("192.88.99.0/24"),
		netip.MustParsePrefix("198.18.0.0/15"),
		netip.MustParsePrefix("198.51.100.0/24"),
		netip.MustParsePrefix("203.0.113.0/24"),
		netip.MustParsePrefix("240.0.0.0/4"),
		netip.MustParsePrefix("168.63.129.16/32"), // Azure's metadata
		netip.MustParsePrefix("2001::/23"),        // Teredo among them, which holds another address
		netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("2002::/16"), // 6to4, which holds another address
		netip.MustParsePrefix("3fff::/20"),
	}
}
