package config

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

var compareAddresses = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// load runs Load with the file's content (none if empty), the environment and the command line, on a machine whose address
// is 192.0.2.10.
func load(t *testing.T, file string, environ []string, args ...string) (Config, error) {
	t.Helper()
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags := AddFlags(set)
	if file != "" {
		args = append(args, "--config", writeFile(t, file))
	}
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return Load(Sources{Flags: flags, Environ: environ, HostAddress: hostAt("192.0.2.10")})
}

func hostAt(address string) func() (net.IP, error) {
	return func() (net.IP, error) { return net.ParseIP(address), nil }
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gatehouse.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// complete is what Load makes of Default on that machine.
func completeDefault(t *testing.T) Config {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.DataDir = filepath.Join(dir, "data")
	c.Plugins.Dir = filepath.Join(dir, "data", "plugins")
	c.AdvertiseAddress = netip.MustParseAddr("127.0.0.1")
	return c
}

func TestEveryLayerOverridesTheOnesBeforeIt(t *testing.T) {
	const file = `
listen: "127.0.0.1:7001"
events:
  ttl: 2h
storage: {compactionRetention: 7m}
certificate:
  extraNames: [file.example.org, 192.0.2.1]
requests:
`
	environ := []string{
		"GATEHOUSE_LISTEN=127.0.0.1:7002",
		"GATEHOUSE_CERTIFICATE_EXTRA_NAMES=env.example.org, 192.0.2.2",
		"GATEHOUSE_EVENTS_TTL=3h",
		"HOME=/home/somebody",
	}
	args := []string{"--listen", "127.0.0.1:7003", "--certificate-extra-names", "a.example.org,b.example.org",
		"--certificate-extra-names", "c.example.org"}

	for name, test := range map[string]struct {
		file    string
		environ []string
		args    []string
		change  func(*Config)
	}{
		"nothing set gives the defaults": {
			change: func(*Config) {},
		},
		"the file overrides the defaults": {
			file: file,
			change: func(c *Config) {
				c.Listen = "127.0.0.1:7001"
				c.Events.TTL = 2 * time.Hour
				c.Storage.CompactionRetention = 7 * time.Minute
				c.Certificate.ExtraNames = []string{"file.example.org", "192.0.2.1"}
			},
		},
		"the environment overrides the file": {
			file: file, environ: environ,
			change: func(c *Config) {
				c.Listen = "127.0.0.1:7002"
				c.Events.TTL = 3 * time.Hour
				c.Storage.CompactionRetention = 7 * time.Minute
				c.Certificate.ExtraNames = []string{"env.example.org", "192.0.2.2"}
			},
		},
		"a flag overrides the environment": {
			file: file, environ: environ, args: args,
			change: func(c *Config) {
				c.Listen = "127.0.0.1:7003"
				c.Events.TTL = 3 * time.Hour
				c.Storage.CompactionRetention = 7 * time.Minute
				c.Certificate.ExtraNames = []string{"a.example.org", "b.example.org", "c.example.org"}
			},
		},
		"an empty flag clears a list that the file set": {
			file: file, args: []string{"--certificate-extra-names="},
			change: func(c *Config) {
				c.Listen = "127.0.0.1:7001"
				c.Events.TTL = 2 * time.Hour
				c.Storage.CompactionRetention = 7 * time.Minute
				c.Certificate.ExtraNames = []string{}
			},
		},
		"an empty variable and a key without a value set nothing": {
			file: "listen:\nevents: {ttl: ~}\nplugins:\n  # dir: x\n", environ: []string{"GATEHOUSE_EVENTS_TTL="},
			change: func(*Config) {},
		},
		"an empty file and one of comments set nothing": {
			file:   "# nothing yet\n",
			change: func(*Config) {},
		},
		"a list of one can be a plain value": {
			file: "services: {cidrs: 10.43.0.0/16}",
			change: func(c *Config) {
				c.Services.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}
			},
		},
		"--plugins is the short name of plugins.dir": {
			args:   []string{"--plugins", "/opt/plugins", "--data-dir", "/var/lib/gatehouse"},
			change: func(c *Config) { c.Plugins.Dir, c.DataDir = "/opt/plugins", "/var/lib/gatehouse" },
		},
		"plugins are looked for in the data directory": {
			environ: []string{"GATEHOUSE_DATA_DIR=/var/lib/gatehouse"},
			change:  func(c *Config) { c.Plugins.Dir, c.DataDir = "/var/lib/gatehouse/plugins", "/var/lib/gatehouse" },
		},
		"the variables of a Service called gatehouse are not ours": {
			environ: []string{
				"GATEHOUSE_SERVICE_HOST=10.96.0.7", "GATEHOUSE_SERVICE_PORT=6443", "GATEHOUSE_SERVICE_PORT_HTTPS=6443",
				"GATEHOUSE_PORT=tcp://10.96.0.7:6443", "GATEHOUSE_PORT_6443_TCP=tcp://10.96.0.7:6443",
				"GATEHOUSE_PORT_6443_TCP_PROTO=tcp", "GATEHOUSE_PORT_6443_TCP_PORT=6443",
				"GATEHOUSE_PORT_6443_TCP_ADDR=10.96.0.7", "GATEHOUSE_EDGE_SERVICE_HOST=10.96.0.8",
			},
			change: func(*Config) {},
		},
		"every type of value is read from the environment": {
			environ: []string{
				"GATEHOUSE_ADVERTISE_ADDRESS=2001:db8::1", "GATEHOUSE_SERVICES_CIDRS=fd00::/108,10.0.0.0/24",
				"GATEHOUSE_SERVICES_NODE_PORTS=31000-31999", "GATEHOUSE_SERVICE_ACCOUNTS_ISSUER=https://edge.example.org/x",
				"GATEHOUSE_REQUESTS_MAX_BODY_SIZE=4Mi", "GATEHOUSE_REQUESTS_MAX_IN_FLIGHT=7",
				"GATEHOUSE_LOG_LEVEL=debug", "GATEHOUSE_LOG_FORMAT=json", "GATEHOUSE_SHUTDOWN_DRAIN_TIMEOUT=0s",
			},
			change: func(c *Config) {
				c.AdvertiseAddress = netip.MustParseAddr("2001:db8::1")
				c.Services.CIDRs = []netip.Prefix{netip.MustParsePrefix("fd00::/108"), netip.MustParsePrefix("10.0.0.0/24")}
				c.Services.NodePorts = utilnet.PortRange{Base: 31000, Size: 1000}
				c.ServiceAccounts.Issuer = "https://edge.example.org/x"
				c.Requests.MaxBodySize, c.Requests.MaxInFlight = 4<<20, 7
				c.Log.Level, c.Log.Format = slog.LevelDebug, LogJSON
				c.Shutdown.DrainTimeout = 0
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := completeDefault(t)
			test.change(&want)
			got, err := load(t, test.file, test.environ, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, compareAddresses); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheFileIsNamedByFlagOrVariable(t *testing.T) {
	byFlag, byVariable := writeFile(t, "listen: ':1'"), writeFile(t, "listen: ':2'")
	for name, test := range map[string]struct {
		environ []string
		args    []string
		want    string
	}{
		"by variable":                     {[]string{"GATEHOUSE_CONFIG=" + byVariable}, nil, ":2"},
		"the flag wins over the variable": {[]string{"GATEHOUSE_CONFIG=" + byVariable}, []string{"--config", byFlag}, ":1"},
		"the last of two variables wins":  {[]string{"GATEHOUSE_CONFIG=/nowhere", "GATEHOUSE_CONFIG=" + byVariable}, nil, ":2"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := load(t, "", test.environ, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if got.Listen != test.want {
				t.Errorf("listen is %q, want %q", got.Listen, test.want)
			}
		})
	}
}

func TestRelativePathsOfAFileStartAtTheFile(t *testing.T) {
	path := writeFile(t, "dataDir: state\nplugins: {dir: ../gates}")
	got, err := load(t, "", nil, "--config", path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	if want := filepath.Join(dir, "state"); got.DataDir != want {
		t.Errorf("data directory is %s, want %s", got.DataDir, want)
	}
	if want := filepath.Join(filepath.Dir(dir), "gates"); got.Plugins.Dir != want {
		t.Errorf("plugins folder is %s, want %s", got.Plugins.Dir, want)
	}
}

func TestAdvertiseAddressIsOneThatNodesCanReach(t *testing.T) {
	for name, test := range map[string]struct {
		listen, cidrs string
		host          func() (net.IP, error)
		want          string
	}{
		"an address listened on":                        {"192.0.2.77:6443", "10.96.0.0/12", hostAt("192.0.2.10"), "192.0.2.77"},
		"the host's, when listening on all addresses":   {":6443", "10.96.0.0/12", hostAt("192.0.2.10"), "192.0.2.10"},
		"the host's, when listening on 0.0.0.0":         {"0.0.0.0:6443", "10.96.0.0/12", hostAt("192.0.2.10"), "192.0.2.10"},
		"loopback when that is what is listened on":     {"[::1]:6443", "fd00::/108", hostAt("2001:db8::1"), "::1"},
		"loopback when localhost is listened on":        {"localhost:6443", "10.96.0.0/12", hostAt("192.0.2.10"), "127.0.0.1"},
		"the host's, when listening on a name":          {"edge.example.org:6443", "10.96.0.0/12", hostAt("192.0.2.10"), "192.0.2.10"},
		"not one of another family than the Services'":  {"192.0.2.77:6443", "fd00::/108", hostAt("2001:db8::1"), "2001:db8::1"},
		"loopback when the host has none of the family": {":6443", "fd00::/108", hostAt("192.0.2.10"), "::1"},
		"loopback when the host has no network": {":6443", "10.96.0.0/12",
			func() (net.IP, error) { return nil, errors.New("no default routes") }, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			environ := []string{"GATEHOUSE_LISTEN=" + test.listen, "GATEHOUSE_SERVICES_CIDRS=" + test.cidrs}
			got, err := Load(Sources{Environ: environ, HostAddress: test.host})
			if err != nil {
				t.Fatal(err)
			}
			if got.AdvertiseAddress.String() != test.want {
				t.Errorf("advertises %s, want %s", got.AdvertiseAddress, test.want)
			}
		})
	}
}

func TestEveryBadValueIsNamed(t *testing.T) {
	duration := func(span string) string { return "want a duration from " + span + ", such as 90s or 5m" }
	for name, test := range map[string]struct{ key, text, want string }{
		"listen without a port":            {"listen", "localhost", "want HOST:PORT, such as"},
		"listen with a port too large":     {"listen", "localhost:65536", "want HOST:PORT, such as"},
		"listen with a named port":         {"listen", "localhost:https", "want HOST:PORT, such as"},
		"listen with an address too long":  {"listen", "1.2.3.4.5:6443", "want HOST:PORT, such as"},
		"listen with IPv6 not in brackets": {"listen", "::1:6443:1", "want HOST:PORT, such as"},
		"listen with a bad name":           {"listen", "my_host:6443", "want HOST:PORT, such as"},
		"advertised name":                  {"advertiseAddress", "edge.example.org", "want an IP address that other machines can reach"},
		"advertised loopback":              {"advertiseAddress", "127.0.0.1", "want an IP address that other machines can reach"},
		"advertised link-local":            {"advertiseAddress", "fe80::1", "want an IP address that other machines can reach"},
		"advertised nothing":               {"advertiseAddress", "0.0.0.0", "want an IP address that other machines can reach"},
		"advertised other family": {"advertiseAddress", "2001:db8::1",
			"want an address of the same family as 10.96.0.0/12, the first of services.cidrs"},
		"extra name that is an address with a port": {"certificate.extraNames", "192.0.2.1:6443", "want a DNS name"},
		"extra name with a bad letter":              {"certificate.extraNames", "ed_ge.example.org", "want a DNS name"},
		"extra name with a star inside":             {"certificate.extraNames", "a.*.example.org", "want a DNS name"},
		"services without a mask":                   {"services.cidrs", "10.96.0.0", "want a network of at least 8 addresses"},
		"services too small":                        {"services.cidrs", "10.96.0.0/30", "want a network of at least 8 addresses"},
		"services not at the network's start":       {"services.cidrs", "10.96.0.1/12", "want the network itself, which is 10.96.0.0/12"},
		"node ports backwards":                      {"services.nodePorts", "32767-30000", "want a range of ports, such as 30000-32767"},
		"node ports from zero":                      {"services.nodePorts", "0-10", "want a range of ports, such as 30000-32767"},
		"node ports too large":                      {"services.nodePorts", "30000-70000", "want a range of ports, such as 30000-32767"},
		"issuer that is no URL":                     {"serviceAccounts.issuer", "gatehouse", "want an https URL"},
		"issuer without TLS":                        {"serviceAccounts.issuer", "http://gatehouse", "want an https URL"},
		"issuer with a query":                       {"serviceAccounts.issuer", "https://gatehouse?x=y", "want an https URL"},
		"events that vanish at once":                {"events.ttl", "0s", duration("1m to 8760h")},
		"duration without a unit":                   {"events.ttl", "60", duration("1m to 8760h")},
		"duration in words":                         {"storage.compactionRetention", "5 minutes", duration("1s to 168h")},
		"negative duration":                         {"storage.compactionRetention", "-5m", duration("1s to 168h")},
		"request timeout too long":                  {"requests.timeout", "2h", duration("1s to 1h")},
		"size that is no number":                    {"requests.maxBodySize", "large", "want a size from 64Ki to 64Mi, such as 3Mi"},
		"size with an unknown unit":                 {"requests.maxBodySize", "3MiB", "want a size from 64Ki to 64Mi, such as 3Mi"},
		"size that is a fraction of a byte":         {"requests.maxBodySize", "100000.5", "want a size from 64Ki to 64Mi, such as 3Mi"},
		"size too small":                            {"requests.maxBodySize", "1k", "want a size from 64Ki to 64Mi, such as 3Mi"},
		"cache with room for nothing":               {"cache.forms", "0", "want a size from 1Mi to 64Gi, such as 3Mi"},
		"no requests at all":                        {"requests.maxInFlight", "0", "want a whole number from 1 to 100000"},
		"half a request":                            {"requests.maxMutatingInFlight", "1.5", "want a whole number from 1 to 100000"},
		"plugin memory beyond 32 bits":              {"plugins.memoryLimit", "5Gi", "want a size from 1Mi to 4Gi, such as 3Mi"},
		"plugin deadline too short":                 {"plugins.deadline", "1us", duration("1ms to 1m")},
		"plugins' key that is a file's name":        {"plugins.publicKeys", "keys.pub", "want a public key of minisign, the second line of its file"},
		"drain for ever":                            {"shutdown.drainTimeout", "1000h", duration("0s to 1h")},
		"level unknown":                             {"log.level", "verbose", "want debug, info, warn or error"},
		"format unknown":                            {"log.format", "xml", "want auto, text or json"},
	} {
		t.Run(name, func(t *testing.T) {
			k := keyOf(t, test.key)
			content := "# a comment, so that lines count\n\n"
			for depth, part := range strings.Split(test.key, ".") {
				content += "\n" + strings.Repeat("  ", depth) + part + ":"
			}
			content += " '" + test.text + "'\n"
			line := strings.Count(content, "\n")
			path := writeFile(t, content)

			_, err := load(t, "", nil, "--config", path)
			wantError(t, err, path+":"+itoa(line)+": "+test.key+" is "+quote(test.text)+", "+test.want)

			_, err = load(t, "", []string{k.variable() + "=" + test.text})
			wantError(t, err, k.variable()+": "+test.key+" is "+quote(test.text)+", "+test.want)

			_, err = load(t, "", nil, "--"+k.flag(), test.text)
			wantError(t, err, "--"+k.flag()+": "+test.key+" is "+quote(test.text)+", "+test.want)
		})
	}
}

func TestAPathCannotBeEmpty(t *testing.T) {
	for _, path := range []string{"dataDir", "plugins.dir"} {
		flag := "--" + keyOf(t, path).flag()
		_, err := load(t, "", nil, flag, "")
		wantError(t, err, flag+`: `+path+` is "", want a path`)
	}
}

func TestServicesHaveOneNetworkOfEachFamily(t *testing.T) {
	for name, cidrs := range map[string]string{
		"two of one family": "10.96.0.0/12,10.43.0.0/16",
		"three":             "10.96.0.0/12,fd00::/108,10.43.0.0/16",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, "", nil, "--services-cidrs", cidrs)
			wantError(t, err, "--services-cidrs: services.cidrs is "+quote(cidrs)+", want a network of at least 8 addresses")
		})
	}
	_, err := load(t, "services:\n  cidrs: []\n", nil)
	wantError(t, err, `:2: services.cidrs is "", want a network`)
}

// keyOf returns the key of the given path, which must exist.
func keyOf(t *testing.T, path string) key {
	t.Helper()
	c := Default()
	for _, k := range keys(&c) {
		if k.path == path {
			return k
		}
	}
	t.Fatalf("there is no key %s", path)
	return key{}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error is\n\t%s\nwant\n\t%s", err, want)
	}
}
