package config

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
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
