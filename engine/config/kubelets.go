package config

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Kubelets is about how the server reaches nodes, for logs, exec, port-forward and what is proxied to them. It shows them a
// client certificate of its own authority.
type Kubelets struct {
	// CAFile is the absolute path of a PEM file with the authorities of kubelets' serving certificates. Default: none, by which,
	// as with kube-apiserver, these are not verified: whoever can pose as a node in the network can read and write what goes to it.
	CAFile string

	// AddressTypes are the types of a node's addresses in the order in which one is looked for. Default: Hostname, InternalDNS,
	// InternalIP, ExternalDNS, ExternalIP.
	AddressTypes []string
}

// addressTypes are the types that addresses of nodes can have, in upstream's order of preference.
func addressTypes() []string {
	return []string{
		string(corev1.NodeHostName), string(corev1.NodeInternalDNS), string(corev1.NodeInternalIP),
		string(corev1.NodeExternalDNS), string(corev1.NodeExternalIP),
	}
}

// addressTypesValue is a list of types of which none stands twice.
func addressTypesValue(field *[]string) value {
	known := addressTypes()
	want := "types among " + strings.Join(known, ", ")
	return list(field, want, func(text string) (string, error) {
		if slices.Contains(known, text) {
			return text, nil
		}
		if nearest := Nearest(text, known); nearest != "" {
			return "", reason(fmt.Sprintf("%s; did you mean %s?", want, nearest))
		}
		return "", errUnwanted
	}, same, func(types []string) error {
		if len(types) == 0 {
			return reason("at least one type; no node could be reached")
		}
		for i, one := range types {
			if slices.Contains(types[:i], one) {
				return reason(fmt.Sprintf("each type once, but %s stands twice", one))
			}
		}
		return nil
	})
}
