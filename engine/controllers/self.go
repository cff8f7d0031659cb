package controllers

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/flowcontrol"
)

const (
	// selfPause is how long what could not be written is left alone at first, and selfMaxPause at last.
	selfPause, selfMaxPause = 50 * time.Millisecond, 30 * time.Second
	// selfRate is how often in a second the server's own objects are put right when somebody keeps changing them, after selfBurst
	// times at once.
	selfRate, selfBurst = 0.2, 10
)

// Self are the objects by which the server shows itself. Both belong to it: whatever becomes of them, they are put back.
type Self struct {
	// Pod stands for the server, with its status of now. Its annotation of AnnotationSelfHash tells whether one that is found is
	// as this one. Others of its scheduler with its labels are those of earlier names of the machine, and deleted.
	Pod *corev1.Pod
	// Configuration is the ConfigMap with the effective configuration.
	Configuration *corev1.ConfigMap
}

// AnnotationSelfHash is where kubelets, too, note what a pod was made of.
const AnnotationSelfHash = "kubernetes.io/config.hash"

// addSelf adds the loops that keep the server's own objects.
func (l *Loops) addSelf(self Self, client kubernetes.Interface) {
	pods := coreinformers.NewFilteredPodInformer(client, self.Pod.Namespace, 0, cache.Indexers{}, func(options *metav1.ListOptions) {
		options.LabelSelector = labels.SelectorFromSet(self.Pod.Labels).String()
	})
	pod := &selfPod{want: self.Pod, client: client, found: pods.GetStore(), restarts: -1}
	l.keep("pod "+self.Pod.Name, pods, pod.ensure)

	maps := coreinformers.NewFilteredConfigMapInformer(client, self.Configuration.Namespace, 0, cache.Indexers{}, func(options *metav1.ListOptions) {
		options.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, self.Configuration.Name).String()
	})
	configuration := &selfConfiguration{want: self.Configuration, client: client, found: maps.GetStore()}
	l.keep("config map "+self.Configuration.Name, maps, configuration.ensure)
}

// keep has ensure called at first, whenever the informer tells of a change, and again while it fails.
func (l *Loops) keep(what string, informer cache.SharedIndexInformer, ensure func(context.Context) error) {
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	l.loop(func() {
		// It fails only for an informer that has been stopped.
		_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { poke() }, UpdateFunc: func(_, _ any) { poke() }, DeleteFunc: func(any) { poke() },
		})
		informer.RunWithContext(l.ctx)
	})
	l.loop(func() {
		if !cache.WaitForCacheSync(l.ctx.Done(), informer.HasSynced) {
			return
		}
		limit := flowcontrol.NewTokenBucketRateLimiter(selfRate, selfBurst)
		for l.ctx.Err() == nil {
			l.insist(what, ensure)
			select {
			case <-changed:
			case <-l.ctx.Done():
			}
			_ = limit.Wait(l.ctx) // it fails only once the context has ended
		}
	})
}

// insist calls ensure until it succeeds or the loops end.
func (l *Loops) insist(what string, ensure func(context.Context) error) {
	var told string
	backoff := wait.Backoff{Duration: selfPause, Factor: 2, Steps: 64, Cap: selfMaxPause}
	for l.ctx.Err() == nil {
		pause := selfPause
		// What every cluster has comes first: the namespace is needed, and what clients wait for is not held up.
		if l.CheckNamespaces(nil) == nil && l.CheckRoles(nil) == nil {
			err := ensure(l.ctx)
			if err == nil {
				return
			}
			if text := err.Error(); l.ctx.Err() == nil && text != told {
				told = text
				l.logger.Warn("cannot show the server in the cluster, will try again", "object", what, "error", err)
			}
			pause = backoff.Step()
		}
		select {
		case <-time.After(pause):
		case <-l.ctx.Done():
		}
	}
}

// overtaken says whether a write failed because the object was not any more what the informer had told. It is about to tell, and
// then what has to be done is looked at again.
func overtaken(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err)
}

// selfPod keeps the server's Pod. It belongs to one goroutine.
type selfPod struct {
	want   *corev1.Pod
	client kubernetes.Interface
	found  cache.Store
	// restarts is how often the server had been started before, negative until that is known.
	restarts int32
}

func (s *selfPod) ensure(ctx context.Context) error {
	pods := s.client.CoreV1().Pods(s.want.Namespace)
	remove := func(pod *corev1.Pod) error {
		err := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64), Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
		})
		if overtaken(err) || apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	var current *corev1.Pod
	for _, object := range s.found.List() {
		pod, ok := object.(*corev1.Pod)
		switch {
		case !ok || pod.Spec.SchedulerName != s.want.Spec.SchedulerName:
		case pod.Name == s.want.Name:
			current = pod
		default:
			if err := remove(pod); err != nil {
				return fmt.Errorf("delete pod %s, of when this machine was called so: %w", pod.Name, err)
			}
		}
	}
	if s.restarts < 0 {
		s.restarts = restartsOf(current, s.want) // of the run before, which this one is another than
	}
	if current != nil && (!current.DeletionTimestamp.IsZero() || current.Annotations[AnnotationSelfHash] != s.want.Annotations[AnnotationSelfHash]) {
		if err := remove(current); err != nil {
			return fmt.Errorf("replace pod %s: %w", current.Name, err)
		}
		current = nil
	}
	if current == nil {
		made, err := pods.Create(ctx, s.want, metav1.CreateOptions{})
		switch {
		case overtaken(err):
			return nil
		case err != nil:
			return fmt.Errorf("make pod %s: %w", s.want.Name, err)
		}
		current = made
	}
	return s.ensureStatus(ctx, current)
}

// ensureStatus writes what the server knows of itself.
func (s *selfPod) ensureStatus(ctx context.Context, current *corev1.Pod) error {
	status := s.want.Status.DeepCopy()
	for i := range status.ContainerStatuses {
		status.ContainerStatuses[i].RestartCount = s.restarts
	}
	if apiequality.Semantic.DeepDerivative(*status, current.Status) {
		return nil
	}
	updated := current.DeepCopy()
	updated.Status = *status
	_, err := s.client.CoreV1().Pods(updated.Namespace).UpdateStatus(ctx, updated, metav1.UpdateOptions{})
	if err != nil && !overtaken(err) {
		return fmt.Errorf("write the status of pod %s: %w", updated.Name, err)
	}
	return nil
}

// restartsOf tells how often the server has been started before, by the Pod of the run before.
func restartsOf(before, now *corev1.Pod) int32 {
	if before == nil || len(before.Status.ContainerStatuses) == 0 {
		return 0
	}
	count := before.Status.ContainerStatuses[0].RestartCount
	if !before.Status.StartTime.Equal(now.Status.StartTime) {
		count++
	}
	return count
}

// selfConfiguration keeps the ConfigMap with the server's configuration.
type selfConfiguration struct {
	want   *corev1.ConfigMap
	client kubernetes.Interface
	found  cache.Store
}

func (s *selfConfiguration) ensure(ctx context.Context) error {
	configMaps := s.client.CoreV1().ConfigMaps(s.want.Namespace)
	object, exists, err := s.found.GetByKey(s.want.Namespace + "/" + s.want.Name)
	if err != nil {
		return fmt.Errorf("look up config map %s: %w", s.want.Name, err)
	}
	current, ok := object.(*corev1.ConfigMap)
	switch {
	case !exists || !ok:
		_, err = configMaps.Create(ctx, s.want, metav1.CreateOptions{})
	case maps.Equal(current.Data, s.want.Data) && len(current.BinaryData) == 0:
		return nil
	case current.Immutable != nil && *current.Immutable:
		// Somebody has fixed what is not true. It is made anew once it is gone.
		err = configMaps.Delete(ctx, s.want.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(current.UID))})
	default:
		updated := current.DeepCopy()
		updated.Data, updated.BinaryData = s.want.Data, nil
		_, err = configMaps.Update(ctx, updated, metav1.UpdateOptions{})
	}
	if err != nil && !overtaken(err) {
		return fmt.Errorf("write config map %s: %w", s.want.Name, err)
	}
	return nil
}
