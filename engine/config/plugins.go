package config

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"gatehouse/plugins/signature"
)

const (
	// MemberPlugins stands in Authentication.Order and Authorization.Order for all plugins that are not named there. Left out, they
	// are asked nonetheless: last about who asks, and first about what they may, so that no order makes a plugin's denial void.
	MemberPlugins = "plugins"
	// pluginPrefix begins what stands there for one plugin.
	pluginPrefix = "plugin:"
)

// PluginMember is the plugin that a member's name stands for.
func PluginMember(member string) (plugin string, ok bool) {
	return strings.CutPrefix(member, pluginPrefix)
}

// PluginMemberOf is the name of the member that a plugin is.
func PluginMemberOf(plugin string) string { return pluginPrefix + plugin }

// PluginMembers are the plugins that an order names.
func PluginMembers(order []string) []string {
	var names []string
	for _, member := range order {
		if name, ok := PluginMember(member); ok {
			names = append(names, name)
		}
	}
	return names
}

// namesPlugin reports whether a member's name stands for a plugin that there can be.
func namesPlugin(member string) bool {
	name, ok := PluginMember(member)
	return ok && len(validation.IsDNS1123Subdomain(name)) == 0
}

// publicKeysValue is a list of public keys, each the one line of it that is not a comment.
func publicKeysValue(field *[]signature.PublicKey) value {
	return list(field, "a public key of minisign, the second line of its file", func(text string) (signature.PublicKey, error) {
		key, err := signature.ParsePublicKey([]byte(text))
		if err != nil {
			return signature.PublicKey{}, errUnwanted
		}
		return key, nil
	}, signature.PublicKey.String, nil)
}
