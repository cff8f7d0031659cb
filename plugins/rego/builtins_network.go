package rego

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// maxElements bounds what a function makes that lists things.
const maxElements = 1 << 16

// networkBuiltins work on networks, which are written as 10.0.0.0/8.
func networkBuiltins() map[string]builtin {
	return map[string]builtin{
		"net.cidr_is_valid": isText(func(s string) bool { _, _, err := net.ParseCIDR(s); return err == nil }),
		"net.cidr_expand":   of(1, expandNetwork),
		"net.cidr_merge":    of(1, mergeNetworks),
	}
}

// expandNetwork is the set of a network's addresses.
func expandNetwork(args []any) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, err
	}
	network, err := parseNetwork(s)
	if err != nil {
		return nil, err
	}
	if host := network.Addr().BitLen() - network.Bits(); host > 16 {
		return nil, fmt.Errorf("%s has more than the %d addresses that are listed", network, maxElements)
	}
	all := set{}
	for address := network.Addr(); address.IsValid() && network.Contains(address); address = address.Next() {
		all = append(all, address.String())
	}
	return all, nil
}

// parseNetwork reads a network; what an address has beyond the network is left out.
func parseNetwork(s string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(s)
	if err != nil {
		return network, err
	}
	return network.Masked(), nil
}

// mergeNetworks is the smallest set of networks that holds the same addresses as some networks. An address of IPv4 stands for the network
// of its class, as with OPA.
func mergeNetworks(args []any) (any, error) {
	names, err := texts(args[0])
	if err != nil {
		return nil, err
	}
	if len(names) > maxElements {
		return nil, fmt.Errorf("%d networks are more than the %d that are merged", len(names), maxElements)
	}
	networks := make([]netip.Prefix, len(names))
	for i, name := range names {
		if mask := net.ParseIP(name).DefaultMask(); mask != nil {
			ones, _ := mask.Size()
			name = fmt.Sprintf("%s/%d", name, ones)
		}
		if networks[i], err = parseNetwork(name); err != nil {
			return nil, err
		}
	}
	merged := set{}
	for _, network := range merge(networks) {
		merged = append(merged, network.String())
	}
	return merged, nil
}

// merge goes through networks in order: what comes last may be within the one before it, or be the other half of a larger one.
func merge(networks []netip.Prefix) []netip.Prefix {
	slices.SortFunc(networks, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	var merged []netip.Prefix
	for _, network := range networks {
		if n := len(merged); n > 0 && merged[n-1].Overlaps(network) {
			continue // within it, for it begins sooner or is larger
		}
		merged = append(merged, network)
		for n := len(merged); n > 1 && halves(merged[n-2], merged[n-1]); n-- {
			whole, _ := merged[n-2].Addr().Prefix(merged[n-2].Bits() - 1)
			merged = append(merged[:n-2], whole)
		}
	}
	return merged
}

// halves says whether two networks that are not the same are those that a larger one is made of.
func halves(a, b netip.Prefix) bool {
	if a.Bits() != b.Bits() || a.Bits() == 0 || a.Addr().BitLen() != b.Addr().BitLen() {
		return false
	}
	whole, err := a.Addr().Prefix(a.Bits() - 1)
	return err == nil && whole.Contains(b.Addr())
}
