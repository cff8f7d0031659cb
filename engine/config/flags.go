package config

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Flags are the keys as flags of one command, and --config, which names the file.
type Flags struct {
	file  string
	texts map[string]*flagTexts // by the key's path
}

// AddFlags adds to set the flag --config and a flag for each key; or, if paths are given, only for the keys of those paths.
func AddFlags(set *pflag.FlagSet, paths ...string) *Flags {
	flags := &Flags{texts: make(map[string]*flagTexts)}
	set.StringVar(&flags.file, "config", "", "read settings from this YAML `FILE`")
	defaults := Default()
	for _, k := range keys(&defaults) {
		if len(paths) > 0 && !slices.Contains(paths, k.path) {
			continue
		}
		texts := &flagTexts{name: k.flag(), arg: k.arg, list: k.value.list, texts: k.value.texts()}
		flags.texts[k.path] = texts
		added := set.VarPF(texts, texts.name, "", k.usage)
		if k.value.truth {
			added.NoOptDefVal = "true" // as people expect of such flags: --name is --name=true
		}
	}
	return flags
}

// layer returns what was set on the command line. A nil receiver has nothing.
func (f *Flags) layer() layer {
	read := newLayer()
	if f == nil {
		return read
	}
	for path, texts := range f.texts {
		if texts.changed {
			read.add(path, texts.texts, origin{where: "--" + texts.name})
		}
	}
	return read
}

// flagTexts is a pflag.Value that keeps what was typed. Load judges it, so that a bad flag reads like a bad file.
type flagTexts struct {
	name    string
	arg     string
	list    bool
	texts   []string
	changed bool
}

// Set implements pflag.Value. A list can be given at once, with commas, or by repeating the flag.
func (t *flagTexts) Set(text string) error {
	if !t.changed || !t.list {
		t.texts = nil
	}
	t.changed = true
	t.texts = append(t.texts, splitTexts(text, t.list)...)
	return nil
}

// String implements pflag.Value.
func (t *flagTexts) String() string { return strings.Join(t.texts, ",") }

// Type implements pflag.Value: it is how help calls the flag's argument.
func (t *flagTexts) Type() string { return t.arg }
