package config

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func itoa(n int) string     { return strconv.Itoa(n) }
func quote(s string) string { return strconv.Quote(s) }

func TestMistakesInAFileAreNamedWithTheirLine(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		want []string // each a line of the error, after the path
	}{
		"an unknown key, with the nearest one": {
			"listen: ':1'\nlisten_on: ':2'\n",
			[]string{`:2: unknown key "listen_on"; did you mean listen?`},
		},
		"an unknown key in a section": {
			"storage:\n  compactRetention: 5m\n",
			[]string{`:2: unknown key "storage.compactRetention"; did you mean storage.compactionRetention?`},
		},
		"a key whose section was forgotten": {
			"compactionRetention: 5m\n",
			[]string{`:1: unknown key "compactionRetention"; did you mean storage.compactionRetention?`},
		},
		"a key in the wrong case": {
			"datadir: /data\n",
			[]string{`:1: unknown key "datadir"; did you mean dataDir?`},
		},
		"an unknown key like no other, once for all below it": {
			"\nfeatureGates:\n  A: true\n  B: true\n",
			[]string{":2: unknown key \"featureGates\"; `gatehouse config` prints all there are"},
		},
		"all of several mistakes": {
			"lisen: ':1'\nlog:\n  levl: info\n  format: text\n",
			[]string{
				`:1: unknown key "lisen"; did you mean listen?`,
				`:3: unknown key "log.levl"; did you mean log.level?`,
			},
		},
		"a key set twice": {
			"listen: ':1'\n\nlisten: ':2'\n",
			[]string{`:3: listen is set a second time, first on line 1; keep one`},
		},
		"a section that is a value": {
			"log: debug\n",
			[]string{`:1: log is not a section, want its keys below it, each as key: value`},
		},
		"a value that is a section": {
			"events:\n  ttl:\n    hours: 1\n",
			[]string{`:3: events.ttl is no plain value, want a duration`},
		},
		"a list where one value is wanted": {
			"listen: [':1', ':2']\n",
			[]string{`:1: listen is no plain value, want HOST:PORT`},
		},
		"a list of lists": {
			"services:\n  cidrs:\n    - 10.96.0.0/12\n    - [fd00::/108]\n",
			[]string{`:4: services.cidrs has an item that is no plain value, want a network`},
		},
		"a file that is a list": {
			"- listen\n",
			[]string{`:1: the file is not a section, want its keys below it`},
		},
		"a second document": {
			"listen: ':1'\n---\nlisten: ':2'\n",
			[]string{`: a second document starts here, want one document in the file`},
		},
		"an alias": {
			"log:\n  level: &l info\n  format: *l\n",
			[]string{
				`:2: log.level uses an anchor or an alias, want the value itself`,
				`:3: log.format uses an anchor or an alias, want the value itself`,
			},
		},
		"binary data": {
			"dataDir: !!binary L2RhdGE=\n",
			[]string{`:1: dataDir is no plain value, want a path`},
		},
		"no YAML": {
			"listen: x\n  log: x\n",
			[]string{"is not valid YAML: line 2:"},
		},
		"no YAML after the first document": {
			"listen: ':1'\n---\n{\n",
			[]string{"is not valid YAML: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, test.file)
			_, err := load(t, "", nil, "--config", path)
			if err == nil {
				t.Fatal("no error")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Errorf("%d mistakes, want %d:\n%s", len(lines), len(test.want), err)
			}
			for i, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("mistake %d: error is\n%s\nwant\n%s", i, err, want)
				}
				if i < len(lines) && !strings.Contains(lines[i], path) {
					t.Errorf("mistake %d does not name %s: %s", i, path, lines[i])
				}
			}
		})
	}
}

func TestAFileThatCannotBeReadIsNamedWithCauseAndFix(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	huge := filepath.Join(t.TempDir(), "huge.yaml")
	if err := os.WriteFile(huge, make([]byte, maxFileSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, test := range map[string]struct{ path, cause string }{
		"missing":         {missing, "no such file or directory"},
		"a folder":        {folder, "is a directory"},
		"much too large":  {huge, "it is larger than 1Mi"},
		"below a regular": {filepath.Join(huge, "x"), "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, "", nil, "--config", test.path)
			wantError(t, err, "cannot read configuration file "+test.path+": "+test.cause)
			wantError(t, err, "; check the path and its permissions")
			if strings.Count(err.Error(), test.path) != 1 {
				t.Errorf("the path should stand there once: %s", err)
			}
		})
	}
}

func TestUnknownVariablesAreNamed(t *testing.T) {
	for name, test := range map[string]struct{ setting, want string }{
		"with the nearest one": {"GATEHOUSE_DATADIR=/data", "unknown variable GATEHOUSE_DATADIR; did you mean GATEHOUSE_DATA_DIR?"},
		"one like no other":    {"GATEHOUSE_QQQQ=x", "unknown variable GATEHOUSE_QQQQ; unset it"},
		"a port that looks like the kubelet's": {"GATEHOUSE_LISTEN_PORT=6443",
			"unknown variable GATEHOUSE_LISTEN_PORT; unset it, or see `gatehouse help serve`"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, "", []string{test.setting})
			wantError(t, err, test.want)
		})
	}
}

func TestMistakesOfFileAndEnvironmentAreReportedTogether(t *testing.T) {
	_, err := load(t, "lisen: ':1'", []string{"GATEHOUSE_LISEN=x"})
	wantError(t, err, `unknown key "lisen"`)
	wantError(t, err, `unknown variable GATEHOUSE_LISEN`)
}

func TestFormatPrintsAFileThatLoadsAsTheSame(t *testing.T) {
	for name, args := range map[string][]string{
		"the defaults": nil,
		"every list and odd texts": {"--certificate-extra-names", "a.example.org,2001:db8::1,*.example.org",
			"--services-cidrs", "fd00::/108,10.0.0.0/24", "--advertise-address", "2001:db8::1",
			"--data-dir", "/data/~ 'odd': #name\nand\n  more\n", "--plugins", "/12",
			"--plugins-public-keys", "RWS6DU70IRfD8A3/iNUGIj2paVhqEW5p2iUxtdotgnoYoia/Qd9oodHS,RWTASi8EsR1fu/4TbaA5x5eUIX6yoShte9Jadv7OJ/fttFL5jMqeumqW", "--requests-max-in-flight", "12",
			"--listen", ":0", "--log-level", "error"},
		"sections in sections": {"--authentication-webhook-config-file", "/w", "--authentication-webhook-cache-ttl", "0s",
			"--authentication-request-header-ca-files", "/a,/b", "--authentication-bootstrap-tokens",
			"--authentication-order", "webhook,clientCertificate,bootstrapToken,requestHeader"},
		"nothing anonymous": {"--authentication-anonymous-paths", "none"},
		"all anonymous":     {"--authentication-anonymous-paths", "*"},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := load(t, "", nil, args...)
			if err != nil {
				t.Fatal(err)
			}
			text, err := Format(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := load(t, string(text), nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if diff := cmp.Diff(want, got, compareAddresses); diff != "" {
				t.Errorf("(-printed +loaded):\n%s\n%s", diff, text)
			}
		})
	}
}

// Whoever looks for a key finds it in what is printed, also one that has no value until somebody gives it one.
func TestFormatPrintsEveryKey(t *testing.T) {
	c := Default()
	text, err := Format(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys(&c) {
		name := k.path[strings.LastIndex(k.path, ".")+1:]
		mark := ""
		if len(k.value.texts()) == 0 {
			mark = "# "
		}
		if want := "# " + k.usage + "\n" + strings.Repeat("  ", strings.Count(k.path, ".")) + mark + name + ": "; !strings.Contains(string(text), want) {
			t.Errorf("%s is not printed:\n%s", k.path, text)
		}
	}
}

func TestEveryKeyHasNamesOfItsOwnAndAMeaning(t *testing.T) {
	c := Default()
	names := map[string]string{fileVariable: "", "config": ""}
	for _, k := range keys(&c) {
		if k.usage == "" || k.arg == "" || k.value.want == "" {
			t.Errorf("%s lacks its usage, its argument or what it wants", k.path)
		}
		for _, name := range []string{k.flag(), k.variable(), k.path + " in the file"} {
			if other, taken := names[name]; taken {
				t.Errorf("%s of %s is also a name of %s", name, k.path, other)
			}
			names[name] = k.path
		}
	}
	for name, path := range map[string]string{
		"plugins": "plugins.dir", "data-dir": "dataDir", "listen": "listen",
		"GATEHOUSE_DATA_DIR": "dataDir", "GATEHOUSE_PLUGINS_DIR": "plugins.dir",
		"storage-compaction-retention": "storage.compactionRetention",
	} {
		if names[name] != path {
			t.Errorf("%s sets %q, want %s", name, names[name], path)
		}
	}
}

// FuzzParseFile checks that no file makes the parser fail in other ways than with an error, and that what it accepts is
// either refused by a key with a sentence, or a configuration that prints as a file which is accepted again.
func FuzzParseFile(f *testing.F) {
	c := Default()
	example, err := Format(c)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(example), "", "---\n", withPlugin("a: {settings: {b: c}, failurePolicy: Fail}"), "listen: :6443", "log: {level: &a debug, format: *a}", "a: &a [*a, *a]", "? [x]\n: y",
		"services: {cidrs: [10.0.0.0/8, ~]}", "<<: {listen: x}", "!!binary x: y", "\x00", "dataDir: !!str 5", "listen: |\n  a\n b",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		c := Default()
		table := keys(&c)
		read, err := parseFile(table, content, "fuzz.yaml", "/etc")
		if err != nil {
			if !strings.Contains(err.Error(), "fuzz.yaml") {
				t.Errorf("error does not name the file: %v", err)
			}
			return
		}
		for _, k := range table {
			texts, set := read.texts[k.path]
			if !set {
				continue
			}
			if err := k.set(texts, read.origins[k.path]); err != nil {
				if !strings.Contains(err.Error(), "fuzz.yaml:") || !strings.Contains(err.Error(), k.path) {
					t.Errorf("error does not name line and key: %v", err)
				}
				return
			}
		}
		printed, err := Format(c)
		if err != nil {
			t.Fatal(err)
		}
		again := Default()
		table = keys(&again)
		read, err = parseFile(table, printed, "printed.yaml", "/etc")
		if err != nil {
			t.Fatalf("%v\n%s", err, printed)
		}
		for _, k := range table {
			if texts, set := read.texts[k.path]; set {
				if err := k.set(texts, read.origins[k.path]); err != nil {
					t.Fatalf("%v\n%s", err, printed)
				}
			}
		}
		if diff := cmp.Diff(c.Requests, again.Requests); diff != "" {
			t.Errorf("printing changed it (-was +is):\n%s\n%s", diff, printed)
		}
	})
}
