package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"

	koanfmaps "github.com/knadh/koanf/maps"
	"github.com/knadh/koanf/v2"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// Sources is where Load takes settings from, and what it asks about the machine. The zero value gives the defaults.
type Sources struct {
	// Flags are those of the command line, after they were parsed. They also name the file. Can be nil.
	Flags *Flags
	// Environ is the environment as os.Environ returns it.
	Environ []string
	// HostAddress returns the address at which other machines reach this one. Nil means: that of the default route.
	HostAddress func() (net.IP, error)
}

// Load merges the layers and returns a complete and valid configuration. The error joins everything that is wrong, each
// with the place where it was set, the value and what it should be.
func Load(from Sources) (Config, error) {
	config := Default()
	table := keys(&config)

	layers, err := readLayers(table, from)
	if err != nil {
		return Config{}, err
	}
	merged, origins, err := merge(layers)
	if err != nil {
		return Config{}, err
	}

	for _, l := range layers {
		if l.plugins != nil {
			config.Plugins.Configurations = l.plugins
		}
	}

	var errs []error
	for _, k := range table {
		if texts := merged.Strings(k.path); merged.Exists(k.path) {
			errs = append(errs, k.set(texts, origins[k.path]))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Config{}, err
	}
	return complete(config, origins, from)
}

// layer is what one source sets: the texts of keys by path, and where each was set. It is a koanf.Provider.
type layer struct {
	texts   map[string][]string
	origins map[string]origin
	// plugins are what the file has in pluginConfigurationsPath; nil in other layers.
	plugins map[string]PluginConfiguration
}

// origin is where a key was set.
type origin struct {
	// where is what an error starts with: "gatehouse.yaml:12", "GATEHOUSE_LISTEN" or "--listen".
	where string
	// dir is the directory that relative paths start from; empty means the working directory.
	dir string
}

func newLayer() layer {
	return layer{texts: make(map[string][]string), origins: make(map[string]origin)}
}

func (l layer) add(path string, texts []string, from origin) {
	l.texts[path] = texts
	l.origins[path] = from
}

// Read implements koanf.Provider.
func (l layer) Read() (map[string]any, error) {
	flat := make(map[string]any, len(l.texts))
	for path, texts := range l.texts {
		flat[path] = texts
	}
	return koanfmaps.Unflatten(flat, "."), nil
}

// ReadBytes implements koanf.Provider; a layer is parsed already.
func (l layer) ReadBytes() ([]byte, error) { return nil, errors.ErrUnsupported }

// readLayers returns the layers from the weakest to the strongest.
func readLayers(table []key, from Sources) ([]layer, error) {
	defaults := newLayer()
	for _, k := range table {
		if texts := k.value.texts(); len(texts) > 0 {
			defaults.add(k.path, texts, origin{where: "default"})
		}
	}
	file, fileErr := readFile(table, configFile(from))
	environ, environErr := readEnviron(table, from.Environ)
	return []layer{defaults, file, environ, from.Flags.layer()}, errors.Join(fileErr, environErr)
}

func configFile(from Sources) string {
	if from.Flags != nil && from.Flags.file != "" {
		return from.Flags.file
	}
	return lookup(from.Environ, fileVariable)
}

func merge(layers []layer) (*koanf.Koanf, map[string]origin, error) {
	merged, origins := koanf.New("."), make(map[string]origin)
	for _, l := range layers {
		if err := merged.Load(l, nil); err != nil {
			return nil, nil, fmt.Errorf("cannot merge the configuration: %w", err)
		}
		maps.Copy(origins, l.origins)
	}
	return merged, origins, nil
}

// set parses texts into the key's field, or says what is wrong with them.
func (k key) set(texts []string, from origin) error {
	if !k.value.list && len(texts) != 1 {
		return fmt.Errorf("%s: %s has %d values, want one: %s", from.where, k.path, len(texts), k.value.want)
	}
	err := k.value.set(texts)
	if err == nil {
		return nil
	}
	var bad *textError
	if !errors.As(err, &bad) {
		return fmt.Errorf("%s: %s: %w", from.where, k.path, err)
	}
	want := bad.reason
	if want == "" {
		want = k.value.want
	}
	return fmt.Errorf("%s: %s is %q, want %s", from.where, k.path, bad.text, want)
}

// complete fills in what depends on the machine and on other keys.
func complete(c Config, origins map[string]origin, from Sources) (Config, error) {
	var err error
	if c.DataDir, err = absolute(c.DataDir, origins["dataDir"]); err != nil {
		return Config{}, err
	}
	if c.Plugins.Dir == "" {
		c.Plugins.Dir = filepath.Join(c.DataDir, "plugins")
	} else if c.Plugins.Dir, err = absolute(c.Plugins.Dir, origins["plugins.dir"]); err != nil {
		return Config{}, err
	}
	if c.Kubelets.CAFile != "" {
		if c.Kubelets.CAFile, err = absolute(c.Kubelets.CAFile, origins["kubelets.caFile"]); err != nil {
			return Config{}, err
		}
	}
	if err := errors.Join(c.Authentication.resolvePaths(origins), c.Authentication.checkOrder(origins),
		c.Authorization.resolvePaths(origins), c.Authorization.checkMembers(origins),
		c.Admission.resolvePaths(origins), c.Admission.checkMembers(origins)); err != nil {
		return Config{}, err
	}
	if c.AdvertiseAddress, err = advertiseAddress(c, origins["advertiseAddress"], from.HostAddress); err != nil {
		return Config{}, err
	}
	return c, nil
}

// absolute resolves a path from the file that set it, as people expect of a file they copy around, else from the working
// directory.
func absolute(path string, from origin) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(from.dir, path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("cannot resolve %s: %w", path, err)
	}
	return path, nil
}

func advertiseAddress(c Config, from origin, host func() (net.IP, error)) (netip.Addr, error) {
	first := c.Services.CIDRs[0]
	fits := func(address netip.Addr) bool { return address.IsValid() && address.Is4() == first.Addr().Is4() }

	if c.AdvertiseAddress.IsValid() {
		if !fits(c.AdvertiseAddress) {
			return netip.Addr{}, fmt.Errorf("%s: advertiseAddress is %q, want an address of the same family as %s, the first of services.cidrs",
				from.where, c.AdvertiseAddress, first)
		}
		return c.AdvertiseAddress, nil
	}
	listen := listenAddress(c.Listen)
	if fits(listen) && listen.IsGlobalUnicast() {
		return listen, nil
	}
	if listensOnLoopback(c.Listen) {
		return loopback(first.Addr().Is4()), nil // nobody listens where others could reach it
	}
	if host == nil {
		host = utilnet.ChooseHostInterface
	}
	// A machine without a network is no error: it can serve itself.
	if ip, err := host(); err == nil {
		if address, ok := netip.AddrFromSlice(ip); ok && fits(address.Unmap()) {
			return address.Unmap(), nil
		}
	}
	return loopback(first.Addr().Is4()), nil
}

func loopback(is4 bool) netip.Addr {
	if is4 {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

func listensOnLoopback(listen string) bool {
	host, _, _ := net.SplitHostPort(listen) // its form has been checked
	return host == "localhost" || listenAddress(listen).IsLoopback()
}

// listenAddress is the address in a host:port, invalid if the host is a name or empty.
func listenAddress(listen string) netip.Addr {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return netip.Addr{}
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap()
}
