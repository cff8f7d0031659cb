// Package pluginapi serves the API group plugins.gatehouse.dev, by which users see the plugins of the server with their ordinary tools.
// Its objects are not stored: they tell how the plugins of a plugins.Set are at the moment of asking. It hands the catalog a provider
// like upstream's, so that verbs, discovery, tables and watches are those of all other kinds.
package pluginapi
