package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	schedulingv1 "k8s.io/kubernetes/pkg/apis/scheduling/v1"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
	schedulingrest "k8s.io/kubernetes/pkg/registry/scheduling/rest"
)

// bootstrap replaces those of upstream's start hooks that begin with a second of sleep and do not heed their context. What
// they ensure is the same.
func bootstrap(client kubernetes.Interface, roles []bootstrapObject) map[string]func(context.Context) error {
	retried := func(ensure func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error { return retry(ctx, func() error { return ensure(ctx) }) }
	}
	return map[string]func(context.Context) error{
		schedulingrest.PostStartHookName: retried(func(ctx context.Context) error { return ensurePriorityClasses(ctx, client) }),
		rbacrest.PostStartHookName:       retried(func(ctx context.Context) error { return ensureObjects(ctx, roles) }),
	}
}

// retry tries for about half a minute, as upstream's hooks do, or until ctx ends.
func retry(ctx context.Context, try func() error) error {
	var last error
	backoff := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Steps: 9}
	err := wait.ExponentialBackoffWithContext(ctx, backoff, func(context.Context) (bool, error) {
		last = try()
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// ensurePriorityClasses makes the priority classes that critical pods refer to.
func ensurePriorityClasses(ctx context.Context, client kubernetes.Interface) error {
	classes := client.SchedulingV1().PriorityClasses()
	for _, class := range schedulingv1.SystemPriorityClasses() {
		_, err := classes.Get(ctx, class.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = classes.Create(ctx, class, metav1.CreateOptions{})
		}
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("ensure PriorityClass %s: %w", class.Name, err)
		}
	}
	return nil
}
