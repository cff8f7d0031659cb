package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/controller/namespace"
)

const (
	// namespaceWorkers is how many namespaces are emptied at a time.
	namespaceWorkers = 2
	// namespaceResync is how often all namespaces are looked at again (upstream's default).
	namespaceResync = 5 * time.Minute
)

// buildNamespaces deletes what is in namespaces that are to be deleted.
func buildNamespaces(ctx context.Context, t tools) (func(context.Context), error) {
	deletion := namespace.NewNamespaceController(ctx, t.client, t.metadata, t.Namespaced,
		t.Informers.Core().V1().Namespaces(), namespaceResync, corev1.FinalizerKubernetes)
	return func(ctx context.Context) { deletion.Run(ctx, namespaceWorkers) }, nil
}
