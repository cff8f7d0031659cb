package controllers

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
)

// managed is a loop that a kube-controller-manager would run as well, and that can be left to it.
type managed struct {
	// name is kube-controller-manager's.
	name string
	// build makes the loop and registers its interest in informers. run ends with its context.
	build func(context.Context, tools) (run func(context.Context), err error)
}

// tools is what managed loops are built with.
type tools struct {
	Config
	client   kubernetes.Interface
	metadata metadata.Interface
}

// manager is who owns the fields of what managed loops write: as if a kube-controller-manager had written it, so that it makes
// no difference to an object which of the two did.
const manager = "kube-controller-manager"

func newTools(config Config) (t tools, err error) {
	t.Config = config
	loopback := rest.CopyConfig(config.Loopback)
	loopback.UserAgent = manager
	if t.client, err = kubernetes.NewForConfig(loopback); err != nil {
		return tools{}, fmt.Errorf("build the controllers' client: %w", err)
	}
	if t.metadata, err = metadata.NewForConfig(loopback); err != nil {
		return tools{}, fmt.Errorf("build the controllers' client for metadata: %w", err)
	}
	return t, nil
}

// allManaged are the loops in the order in which they are started: first those that others wait for.
func allManaged() []managed {
	return []managed{
		{names.ServiceAccountController, buildServiceAccounts},
		{names.RootCACertificatePublisherController, buildRootCA},
		{names.ServiceAccountTokenController, buildTokens},
		{names.NamespaceController, buildNamespaces},
		{names.GarbageCollectorController, buildGarbage},
		{names.ResourceQuotaController, buildQuota},
		{names.PersistentVolumeClaimProtectionController, buildClaimProtection},
		{names.PersistentVolumeProtectionController, buildVolumeProtection},
		{names.VolumeAttributesClassProtectionController, buildAttributesProtection},
		{names.TTLAfterFinishedController, buildFinished},
		{names.ClusterRoleAggregationController, buildAggregation},
		{names.CertificateSigningRequestApprovingController, buildApproving},
		{names.CertificateSigningRequestSigningController, buildSigning},
		{names.CertificateSigningRequestCleanerController, buildCleaning},
		{names.PodCertificateRequestCleanerController, buildPodCertificateCleaner},
		{names.KubeAPIServerClusterTrustBundlePublisherController, buildTrustBundle},
		{names.ValidatingAdmissionPolicyStatusController, buildPolicyStatus},
		{names.LegacyServiceAccountTokenCleanerController, buildLegacyTokenCleaner},
		{names.BootstrapSignerController, buildBootstrapSigner},
		{names.TokenCleanerController, buildBootstrapCleaner},
	}
}

// on are the loops that the configuration has run here. Those for bootstrap tokens, which are off in a kube-controller-manager
// unless they are named, go with the tokens.
func (c Config) on() []managed {
	return slices.DeleteFunc(allManaged(), func(m managed) bool {
		idle := !c.BootstrapTokens && (m.name == names.BootstrapSignerController || m.name == names.TokenCleanerController)
		return idle || !c.Runs(m.name)
	})
}

// runManaged builds the managed loops that run here, and runs them.
func (l *Loops) runManaged(t tools) {
	runs := l.later
	for _, m := range t.on() {
		run, err := m.build(l.ctx, t)
		if err != nil {
			l.logger.Error("a controller cannot run", "controller", m.name, "error", err)
			continue
		}
		runs = append(runs, run)
	}
	t.StartInformers()
	for _, run := range runs {
		l.running.Go(func() { run(l.ctx) })
	}
}
