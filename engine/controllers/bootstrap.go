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
	"k8s.io/component-helpers/auth/rbac/reconciliation"
	schedulingv1 "k8s.io/kubernetes/pkg/apis/scheduling/v1"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
	schedulingrest "k8s.io/kubernetes/pkg/registry/scheduling/rest"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

// bootstrap replaces those of upstream's start hooks that begin with a second of sleep and do not heed their context. What
// they ensure is the same.
func bootstrap(client kubernetes.Interface) map[string]func(context.Context) error {
	retried := func(ensure func(context.Context, kubernetes.Interface) error) func(context.Context) error {
		return func(ctx context.Context) error { return retry(ctx, func() error { return ensure(ctx, client) }) }
	}
	return map[string]func(context.Context) error{
		schedulingrest.PostStartHookName: retried(ensurePriorityClasses),
		rbacrest.PostStartHookName:       retried(ensureRoles),
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

// ensureRoles makes the roles and bindings that every cluster has, and gives back to them what was taken away, unless they are
// annotated to be left alone. It ensures as many as it can.
func ensureRoles(ctx context.Context, client kubernetes.Interface) error {
	var failures []error
	ensure := func(kind, name string, reconcile func() error) {
		if ctx.Err() != nil {
			return
		}
		if err := reconcile(); err != nil {
			failures = append(failures, fmt.Errorf("ensure %s %s: %w", kind, name, err))
		}
	}
	rbac, namespaces := client.RbacV1(), client.CoreV1().Namespaces()
	roles := func(owner reconciliation.RuleOwner, modifier reconciliation.RuleOwnerModifier) func() error {
		return func() error {
			_, err := (&reconciliation.ReconcileRoleOptions{Role: owner, Client: modifier, Confirm: true}).Run()
			return err
		}
	}
	bindings := func(binding reconciliation.RoleBinding, modifier reconciliation.RoleBindingModifier) func() error {
		return func() error {
			_, err := (&reconciliation.ReconcileRoleBindingOptions{RoleBinding: binding, Client: modifier, Confirm: true}).Run()
			return err
		}
	}

	for _, role := range append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...) {
		ensure("ClusterRole", role.Name, roles(reconciliation.ClusterRoleRuleOwner{ClusterRole: &role},
			reconciliation.ClusterRoleModifier{Client: rbac.ClusterRoles()}))
	}
	for _, binding := range append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...) {
		ensure("ClusterRoleBinding", binding.Name, bindings(reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: &binding},
			reconciliation.ClusterRoleBindingClientAdapter{Client: rbac.ClusterRoleBindings()}))
	}
	for namespace, list := range bootstrappolicy.NamespaceRoles() {
		for _, role := range list {
			ensure("Role", namespace+"/"+role.Name, roles(reconciliation.RoleRuleOwner{Role: &role},
				reconciliation.RoleModifier{Client: rbac, NamespaceClient: namespaces}))
		}
	}
	for namespace, list := range bootstrappolicy.NamespaceRoleBindings() {
		for _, binding := range list {
			ensure("RoleBinding", namespace+"/"+binding.Name, bindings(reconciliation.RoleBindingAdapter{RoleBinding: &binding},
				reconciliation.RoleBindingClientAdapter{Client: rbac, NamespaceClient: namespaces}))
		}
	}
	return errors.Join(append(failures, ctx.Err())...)
}
