package capability

import "net/netip"

// Reaches says whether a plugin that is granted those networks may connect to the address.
func Reaches(granted []string, address netip.Addr) (bool, error) {
	n, err := parseNetworks(granted)
	return n.allow(address), err
}
