package command

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"gatehouse/engine/config"
	"gatehouse/engine/pki"
)

// serverFlags say which server a command is to ask, and as whom.
type serverFlags struct {
	set        *pflag.FlagSet
	settings   *config.Flags
	kubeconfig *string
}

func addServerFlags(set *pflag.FlagSet) *serverFlags {
	kubeconfig := set.String("kubeconfig", "", "the `FILE` that says where the server is and who asks")
	return &serverFlags{set: set, settings: config.AddFlags(set, "dataDir"), kubeconfig: kubeconfig}
}

// config is how to reach the server: that of --kubeconfig, else of the variable KUBECONFIG, else the one with the data directory.
func (f *serverFlags) config(p Program) (*rest.Config, error) {
	const dataDir = "data-dir"
	cfg, err := config.Load(config.Sources{Flags: f.settings, Environ: p.Environ})
	if err != nil {
		return nil, err
	}
	return p.clientConfig(*f.kubeconfig, cfg.DataDir, f.set.Changed(dataDir))
}

// clientConfig is how to reach the server. A data directory that was named on the command line counts more than KUBECONFIG.
func (p Program) clientConfig(kubeconfig, dataDir string, dataDirNamed bool) (*rest.Config, error) {
	rules := new(clientcmd.ClientConfigLoadingRules)
	source := kubeconfig
	switch variable := p.variable(clientcmd.RecommendedConfigPathEnvVar); {
	case kubeconfig != "":
		rules.ExplicitPath = kubeconfig
	case variable != "" && !dataDirNamed:
		rules.Precedence, source = filepath.SplitList(variable), variable
	default:
		if _, err := pki.ReadAdminKubeconfig(dataDir); err != nil {
			return nil, err
		}
		rules.ExplicitPath = pki.AdminKubeconfigPath(dataDir)
		source = rules.ExplicitPath
	}
	loaded, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("cannot read kubeconfig %s: %w", source, err)
	}
	client, err := clientcmd.NewNonInteractiveClientConfig(*loaded, "", new(clientcmd.ConfigOverrides), rules).ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, fmt.Errorf("kubeconfig %s is not there or empty; name another with --kubeconfig", source)
	case err != nil:
		return nil, fmt.Errorf("cannot use kubeconfig %s: %w", source, err)
	}
	return client, nil
}

// variable is the value of a variable of the environment, empty if it is not set.
func (p Program) variable(name string) string {
	for _, setting := range slices.Backward(p.Environ) {
		if value, ok := strings.CutPrefix(setting, name+"="); ok {
			return value
		}
	}
	return ""
}
