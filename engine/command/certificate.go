package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	certificatesv1 "k8s.io/api/certificates/v1"
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
			var flags certificateFlags
			flags.add(set)
			server := addServerFlags(set)
			return func(ctx context.Context) error {
				client, err := server.config(p)
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
