package command

import (
	"context"
	"fmt"
	"net/url"

	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"gatehouse/engine/config"
	"gatehouse/engine/pki"
	"gatehouse/engine/version"
)

func versionCommand() command {
	return command{
		name:    "version",
		summary: "print the versions of this binary and of Kubernetes in it",
		flags: func(p Program, _ *pflag.FlagSet) func(context.Context) error {
			return func(context.Context) error {
				_, err := fmt.Fprintf(p.Stdout, "%s\nKubernetes %s\n", version.ReadBuild(), version.Kubernetes)
				return err
			}
		},
	}
}

func configCommand() command {
	return command{
		name:    "config",
		summary: "check the configuration and print it as a file, each key explained",
		details: "It takes what `gatehouse serve` takes, and starts nothing. The output can be saved and given to --config.\n",
		flags: func(p Program, set *pflag.FlagSet) func(context.Context) error {
			flags := config.AddFlags(set)
			return func(context.Context) error {
				cfg, err := config.Load(config.Sources{Flags: flags, Environ: p.Environ})
				if err != nil {
					return err
				}
				text, err := config.Format(cfg)
				if err != nil {
					return err
				}
				_, err = p.Stdout.Write(text)
				return err
			}
		},
	}
}

func kubeconfigCommand() command {
	return command{
		name:    "kubeconfig",
		summary: "print the admin's kubeconfig of a data directory",
		details: "Whoever has it can do everything. For another machine, save it there and say how that one reaches the server:\n\n" +
			"  gatehouse kubeconfig --server https://edge.example.org:6443 > gatehouse.kubeconfig\n",
		flags: func(p Program, set *pflag.FlagSet) func(context.Context) error {
			flags := config.AddFlags(set, "dataDir")
			path := set.Bool("path", false, "print where the file is instead of what it holds")
			server := set.String("server", "", "put this `URL` into what is printed, instead of the one for this machine")
			return func(context.Context) error {
				cfg, err := config.Load(config.Sources{Flags: flags, Environ: p.Environ})
				if err != nil {
					return err
				}
				return p.kubeconfig(cfg.DataDir, *path, *server)
			}
		},
	}
}

func (p Program) kubeconfig(dataDir string, onlyPath bool, server string) error {
	kubeconfig, err := pki.ReadAdminKubeconfig(dataDir)
	if err != nil {
		return err
	}
	if onlyPath {
		_, err := fmt.Fprintln(p.Stdout, pki.AdminKubeconfigPath(dataDir))
		return err
	}
	if server != "" {
		if parsed, err := url.Parse(server); err != nil || parsed.Scheme != "https" || parsed.Host == "" {
			return usageError{fmt.Errorf("--server is %q, want a URL such as https://edge.example.org:6443", server)}
		}
		cluster := kubeconfig.Clusters[pki.ClusterName]
		if cluster == nil {
			return fmt.Errorf("%s has no cluster %s; start the server to have it put there", pki.AdminKubeconfigPath(dataDir), pki.ClusterName)
		}
		cluster.Server = server
	}
	content, err := clientcmd.Write(*kubeconfig)
	if err != nil {
		return fmt.Errorf("cannot encode the kubeconfig: %w", err)
	}
	_, err = p.Stdout.Write(content)
	return err
}
