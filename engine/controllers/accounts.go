package controllers

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/klog/v2"
	bootstraptokens "k8s.io/kubernetes/pkg/controller/bootstrap"
	"k8s.io/kubernetes/pkg/controller/certificates/clustertrustbundlepublisher"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controlplane/controller/legacytokentracking"
	"k8s.io/utils/clock"
)

const (
	// accountWorkers is how many namespaces are given their service account, or what tells whom to trust, at a time.
	accountWorkers = 1
	// tokenWorkers is how many Secrets are filled with tokens at a time (upstream's default is five).
	tokenWorkers = 2
	// legacyTokenPeriod is how long a token in a Secret that nobody mounts or uses is kept (upstream's default).
	legacyTokenPeriod = 365 * 24 * time.Hour
	// servingSigner is who signs the server's own certificate, as ClusterTrustBundles name it.
	servingSigner = "kubernetes.io/kube-apiserver-serving"
)

// buildServiceAccounts gives each namespace its service account "default", without which no pod is let into it.
func buildServiceAccounts(ctx context.Context, t tools) (func(context.Context), error) {
	core := t.Informers.Core().V1()
	keeper, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), core.ServiceAccounts(), core.Namespaces(),
		t.client, serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { keeper.Run(ctx, accountWorkers) }, nil
}

// buildRootCA tells the pods of each namespace which authority this server's certificate is of: ConfigMap kube-root-ca.crt.
func buildRootCA(_ context.Context, t tools) (func(context.Context), error) {
	core := t.Informers.Core().V1()
	publisher, err := rootcacertpublisher.NewPublisher(core.ConfigMaps(), core.Namespaces(), t.client, t.RootCA)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { publisher.Run(ctx, accountWorkers) }, nil
}

// buildTrustBundle tells the same by a ClusterTrustBundle of signer kubernetes.io/kube-apiserver-serving.
func buildTrustBundle(_ context.Context, t tools) (func(context.Context), error) {
	authority, err := dynamiccertificates.NewStaticCAContent("kube-apiserver-serving", t.RootCA)
	if err != nil {
		return nil, err
	}
	publisher, err := clustertrustbundlepublisher.NewGAClusterTrustBundlePublisher(servingSigner, authority, t.client)
	if err != nil {
		return nil, err
	}
	return publisher.Run, nil
}

// buildTokens fills Secrets of type service-account-token, and deletes them with their accounts.
func buildTokens(ctx context.Context, t tools) (func(context.Context), error) {
	core := t.Informers.Core().V1()
	filler, err := serviceaccount.NewTokensController(klog.FromContext(ctx), core.ServiceAccounts(), core.Secrets(), t.client,
		serviceaccount.TokensControllerOptions{TokenGenerator: t.LegacyTokens, RootCA: t.RootCA})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { filler.Run(ctx, tokenWorkers) }, nil
}

// buildLegacyTokenCleaner deletes tokens that were made for accounts by the Kubernetes of old and have not been used for long.
func buildLegacyTokenCleaner(_ context.Context, t tools) (func(context.Context), error) {
	core := t.Informers.Core().V1()
	cleaner, err := serviceaccount.NewLegacySATokenCleaner(core.ServiceAccounts(), core.Secrets(), core.Pods(), t.client, clock.RealClock{},
		serviceaccount.LegacySATokenCleanerOptions{
			CleanUpPeriod: legacyTokenPeriod,
			SyncInterval:  serviceaccount.DefaultCleanerSyncInterval,
		})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		// It looks at once, and then after a day; before it is known since when uses are noted, for nothing.
		tracked := core.ConfigMaps().Lister().ConfigMaps(metav1.NamespaceSystem)
		if retry(ctx, func() error { _, err := tracked.Get(legacytokentracking.ConfigMapName); return err }) == nil {
			cleaner.Run(ctx)
		}
	}, nil
}

// buildBootstrapSigner signs ConfigMap cluster-info, by which new nodes find out whom to trust, with each bootstrap token.
func buildBootstrapSigner(_ context.Context, t tools) (func(context.Context), error) {
	core := t.Informers.Core().V1()
	signer, err := bootstraptokens.NewSigner(t.client, core.Secrets(), core.ConfigMaps(), bootstraptokens.DefaultSignerOptions())
	if err != nil {
		return nil, err
	}
	return signer.Run, nil
}

// buildBootstrapCleaner deletes bootstrap tokens that have expired.
func buildBootstrapCleaner(_ context.Context, t tools) (func(context.Context), error) {
	cleaner, err := bootstraptokens.NewTokenCleaner(t.client, t.Informers.Core().V1().Secrets(), bootstraptokens.DefaultTokenCleanerOptions())
	if err != nil {
		return nil, err
	}
	return cleaner.Run, nil
}
