package pki

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Host is how a machine is called and where it is reached.
type Host struct {
	Name      string
	Addresses []netip.Addr
}

// ThisHost returns the name of this machine and the addresses of its interfaces. Loopback and link-local addresses are
// left out: the former are in every serving certificate, the latter mean something only together with an interface.
func ThisHost() (Host, error) {
	name, err := os.Hostname()
	if err != nil {
		return Host{}, fmt.Errorf("cannot find this machine's name: %w", err)
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return Host{}, fmt.Errorf("cannot list this machine's addresses: %w", err)
	}
	host := Host{Name: name}
	for _, address := range interfaces {
		network, ok := address.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(network.IP); ok && ip.Unmap().IsGlobalUnicast() {
			host.Addresses = append(host.Addresses, ip.Unmap())
		}
	}
	return host, nil
}

// names are the subject alternative names of a certificate, sorted and each once.
type names struct {
	dns []string
	ips []netip.Addr
}

// servingNames are all the names at which clients may reach the server.
func servingNames(request Request, host Host) names {
	all := names{
		dns: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		},
		ips: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()},
	}
	all.add(host.Name)
	for _, name := range request.Names {
		all.add(name)
	}
	all.ips = append(all.ips, host.Addresses...)
	for _, network := range request.ServiceCIDRs {
		all.ips = append(all.ips, network.Masked().Addr().Next())
	}
	return all.sorted()
}

// add takes a DNS name or an address. Nothing and "every address" are no names.
func (n *names) add(name string) {
	address, err := netip.ParseAddr(name)
	switch {
	case err == nil && address.IsUnspecified(), name == "":
	case err == nil:
		n.ips = append(n.ips, address.WithZone("").Unmap())
	default:
		n.dns = append(n.dns, strings.ToLower(name))
	}
}

func (n names) sorted() names {
	slices.Sort(n.dns)
	slices.SortFunc(n.ips, netip.Addr.Compare)
	return names{dns: slices.Compact(n.dns), ips: slices.Compact(n.ips)}
}

func (n names) equal(other names) bool {
	return slices.Equal(n.dns, other.dns) && slices.Equal(n.ips, other.ips)
}

// netIPs are the addresses as crypto/x509 takes them.
func (n names) netIPs() []net.IP {
	ips := make([]net.IP, len(n.ips))
	for i, ip := range n.ips {
		ips[i] = ip.AsSlice()
	}
	return ips
}

// certificateNames are those of a certificate.
func certificateNames(dns []string, ips []net.IP) names {
	n := names{dns: slices.Clone(dns)}
	for _, ip := range ips {
		if address, ok := netip.AddrFromSlice(ip); ok {
			n.ips = append(n.ips, address.Unmap())
		}
	}
	return n.sorted()
}
