package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// issuer names the server in the tokens of service accounts.
const issuer = "https://kubernetes.default.svc.cluster.local"

// authenticationConfig lets strangers ask for the server's health and for nothing else.
const authenticationConfig = `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions: [{path: /healthz}, {path: /livez}, {path: /readyz}]
`

// apiServerOptions are kube-apiserver's defaults but for where its files and neighbours are, and what makes recordings
// comparable to gatehouse's answers.
func apiServerOptions(
	ctx context.Context, s settings, listener net.Listener, keys keyFiles, etcd string,
) (options.CompletedOptions, error) {
	authentication := filepath.Join(s.dataDir, "authentication.yaml")
	if err := os.WriteFile(authentication, []byte(authenticationConfig), 0o600); err != nil {
		return options.CompletedOptions{}, fmt.Errorf("write the authentication configuration: %w", err)
	}
	run := options.NewServerRunOptions()
	sets := run.Flags()
	flags := map[string]string{
		"etcd-servers":                     "http://" + etcd,
		"etcd-compaction-interval":         s.retention.String(),
		"advertise-address":                s.advertise,
		"tls-cert-file":                    keys.servingCert,
		"tls-private-key-file":             keys.servingKey,
		"client-ca-file":                   keys.ca,
		"service-account-key-file":         keys.serviceAccounts,
		"service-account-signing-key-file": keys.serviceAccounts,
		"service-account-issuer":           issuer,

		// What gatehouse has by default: strangers kept out, kubeadm's service network, and what every distribution turns on.
		"authentication-config":    authentication,
		"authorization-mode":       "Node,RBAC",
		"service-cluster-ip-range": "10.96.0.0/12",
		"enable-admission-plugins": "NodeRestriction",
		"allow-privileged":         "true",
	}
	for name, value := range flags {
		if err := set(&sets, name, value); err != nil {
			return options.CompletedOptions{}, err
		}
	}
	run.SecureServing.Listener = listener

	if err := run.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return options.CompletedOptions{}, err
	}
	rest.SetDefaultWarningHandler(rest.NoWarnings{}) // as kube-apiserver's command does
	completed, err := run.Complete(ctx)
	if err != nil {
		return options.CompletedOptions{}, fmt.Errorf("complete kube-apiserver's options: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return options.CompletedOptions{}, fmt.Errorf("kube-apiserver's options: %w", utilerrors.NewAggregate(errs))
	}
	return completed, nil
}

// set sets one of kube-apiserver's flags, as its command line would.
func set(flags *cliflag.NamedFlagSets, name, value string) error {
	for _, set := range flags.FlagSets {
		if set.Lookup(name) == nil {
			continue
		}
		if err := set.Set(name, value); err != nil {
			return fmt.Errorf("set --%s=%s: %w", name, value, err)
		}
		return nil
	}
	return fmt.Errorf("kube-apiserver has no flag --%s", name)
}
