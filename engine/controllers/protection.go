package controllers

import (
	"context"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/certificates/cleaner"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
	"k8s.io/kubernetes/pkg/controller/volume/pvcprotection"
	"k8s.io/kubernetes/pkg/controller/volume/pvprotection"
	"k8s.io/kubernetes/pkg/controller/volume/vacprotection"
	"k8s.io/utils/clock"
)

const (
	// protectionWorkers is how many objects in use are looked at at a time, finishedWorkers how many Jobs.
	protectionWorkers = 1
	finishedWorkers   = 1
	// Requests of pods for certificates that nobody has answered for podCertificatePatience are deleted; they are looked at
	// once in podCertificateInterval (upstream's).
	podCertificatePatience = 15 * time.Minute
	podCertificateInterval = 5 * time.Minute
)

// Admission gives volumes, claims to them and classes of their attributes a finalizer, so that they are not deleted while they are in
// use. The three loops that follow take it away again; without them, no deletion of one would ever end.

func buildClaimProtection(ctx context.Context, t tools) (func(context.Context), error) {
	core := t.Informers.Core().V1()
	protection, err := pvcprotection.NewPVCProtectionController(klog.FromContext(ctx), core.PersistentVolumeClaims(), core.Pods(), t.client)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { protection.Run(ctx, protectionWorkers) }, nil
}

func buildVolumeProtection(ctx context.Context, t tools) (func(context.Context), error) {
	protection, err := pvprotection.NewPVProtectionController(klog.FromContext(ctx), t.Informers.Core().V1().PersistentVolumes(), t.client)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { protection.Run(ctx, protectionWorkers) }, nil
}

func buildAttributesProtection(ctx context.Context, t tools) (func(context.Context), error) {
	core := t.Informers.Core().V1()
	protection, err := vacprotection.NewVACProtectionController(klog.FromContext(ctx), t.client,
		core.PersistentVolumeClaims(), core.PersistentVolumes(), t.Informers.Storage().V1().VolumeAttributesClasses())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { protection.Run(ctx, protectionWorkers) }, nil
}

// buildFinished deletes Jobs that have finished, after the time that they give.
func buildFinished(ctx context.Context, t tools) (func(context.Context), error) {
	deletion := ttlafterfinished.New(ctx, t.Informers.Batch().V1().Jobs(), t.client)
	return func(ctx context.Context) { deletion.Run(ctx, finishedWorkers) }, nil
}

// buildPodCertificateCleaner deletes requests of pods for certificates that have been left lying.
func buildPodCertificateCleaner(_ context.Context, t tools) (func(context.Context), error) {
	cleaning := cleaner.NewPCRCleanerController(t.client, t.Informers.Certificates().V1().PodCertificateRequests(),
		clock.RealClock{}, podCertificatePatience, podCertificateInterval)
	return func(ctx context.Context) { cleaning.Run(ctx, certificateWorkers) }, nil
}
