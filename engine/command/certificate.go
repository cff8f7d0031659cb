package command

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"gatehouse/engine/config"
	"gatehouse/engine/pki"
)

// approvalTimeout is how long a person may take to look at a request and approve it, by default.
const approvalTimeout = 5 * time.Minute

// certificateFlags are what `certificate request` is told besides the file.
type certificateFlags struct {
	saveTo     string
	force      bool
	signer     string
	usages     []string
	expiration time.Duration
	name       string
	timeout    time.Duration
	kubeconfig string
}

func certificateRequestCommand() command {
	return command{
		name:      "certificate request",
		arguments: []string{"FILE"},
		summary:   "have a certificate signed for a key of your own",
		details: `FILE holds a certificate request, as openssl makes it. Its subject is the user, its organisations are the groups:

  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /O=dev/CN=jane -keyout jane.key -out jane.csr
  gatehouse certificate request jane.csr --save-to jane.crt

Somebody who may has to approve it, with kubectl certificate approve; the command says how, and waits. Who runs it again
with the same file gets the answer to the same request. Then the certificate and the key let jane in:

  kubectl config set-credentials jane --client-certificate=jane.crt --client-key=jane.key

The server is that of --kubeconfig, else of the variable KUBECONFIG, else the one with the data directory.
`,
		flags: func(p Program, set *pflag.FlagSet) func(context.Context) error {
			const dataDir = "data-dir"
			var flags certificateFlags
			flags.add(set)
			settings := config.AddFlags(set, "dataDir")
			return func(ctx context.Context) error {
				cfg, err := config.Load(config.Sources{Flags: settings, Environ: p.Environ})
				if err != nil {
					return err
				}
				client, err := p.clientConfig(flags.kubeconfig, cfg.DataDir, set.Changed(dataDir))
				if err != nil {
					return err
				}
				return p.requestCertificate(ctx, client, set.Arg(0), flags)
			}
		},
	}
}

func (f *certificateFlags) add(set *pflag.FlagSet) {
	set.StringVar(&f.saveTo, "save-to", "", "save the certificate in this `FILE`; unset means to print it")
	set.BoolVar(&f.force, "force", false, "replace what --save-to names, if it is there")
	set.StringVar(&f.signer, "signer", certificatesv1.KubeAPIServerClientSignerName, "the `SIGNER` to ask")
	set.StringSliceVar(&f.usages, "usages", nil, "`USAGE,...` of the certificate; unset means those that the signer is for")
	set.DurationVar(&f.expiration, "expiration", 0,
		"`DURATION` of the certificate, from 10m; unset means as long as the signer lets it last")
	set.StringVar(&f.name, "name", "", "`NAME` of the request; unset means one made of what is asked for")
	set.DurationVar(&f.timeout, "timeout", approvalTimeout, "`DURATION` to wait for the certificate")
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "the `FILE` that says where the server is and who asks")
}

// usagesFor are the usages that were asked for, or those that certificates of the signer have.
func (f *certificateFlags) usagesFor() ([]certificatesv1.KeyUsage, error) {
	if len(f.usages) > 0 {
		usages := make([]certificatesv1.KeyUsage, len(f.usages))
		for i, usage := range f.usages {
			usages[i] = certificatesv1.KeyUsage(strings.TrimSpace(usage))
		}
		slices.Sort(usages)
		return slices.Compact(usages), nil
	}
	switch f.signer {
	case certificatesv1.KubeAPIServerClientSignerName, certificatesv1.KubeAPIServerClientKubeletSignerName:
		return []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth, certificatesv1.UsageDigitalSignature}, nil
	case certificatesv1.KubeletServingSignerName:
		return []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}, nil
	default:
		return nil, usageError{fmt.Errorf("say with --usages what certificates of signer %s are for, such as "+
			"--usages='digital signature,server auth'", f.signer)}
	}
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
