package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	rbacclient "k8s.io/client-go/kubernetes/typed/rbac/v1"
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
	policy := rolePolicy{client.RbacV1(), client.CoreV1().Namespaces()}
	tasks := append(policy.clusterRoles(), policy.clusterRoleBindings()...)
	tasks = append(tasks, policy.roles()...)
	tasks = append(tasks, policy.roleBindings()...)
	return ensureAll(ctx, tasks)
}

// ensuring is how many objects are ensured at a time: writes that wait together share one commit.
const ensuring = 8

// task is one object to be ensured.
type task struct {
	kind, name string
	ensure     func() error
}

// ensureAll does all tasks, of which some may fail, until ctx ends.
func ensureAll(ctx context.Context, tasks []task) error {
	failures := make([]error, len(tasks))
	var next atomic.Int64
	var running sync.WaitGroup
	for range ensuring {
		running.Go(func() {
			for at := next.Add(1) - 1; at < int64(len(tasks)) && ctx.Err() == nil; at = next.Add(1) - 1 {
				if err := tasks[at].ensure(); err != nil {
					failures[at] = fmt.Errorf("ensure %s %s: %w", tasks[at].kind, tasks[at].name, err)
				}
			}
		})
	}
	running.Wait()
	return errors.Join(append(failures, ctx.Err())...)
}

// rolePolicy is upstream's bootstrap policy, and how to bring it into being: by upstream's reconciliation, as its start hook
// and kubectl auth reconcile do.
type rolePolicy struct {
	rbac       rbacclient.RbacV1Interface
	namespaces coreclient.NamespaceInterface
}

func reconcileRole(owner reconciliation.RuleOwner, modifier reconciliation.RuleOwnerModifier) func() error {
	return func() error {
		_, err := (&reconciliation.ReconcileRoleOptions{Role: owner, Client: modifier, Confirm: true}).Run()
		return err
	}
}

func reconcileBinding(binding reconciliation.RoleBinding, modifier reconciliation.RoleBindingModifier) func() error {
	return func() error {
		_, err := (&reconciliation.ReconcileRoleBindingOptions{RoleBinding: binding, Client: modifier, Confirm: true}).Run()
		return err
	}
}

func (p rolePolicy) clusterRoles() (tasks []task) {
	for _, role := range append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...) {
		tasks = append(tasks, task{"ClusterRole", role.Name, reconcileRole(
			reconciliation.ClusterRoleRuleOwner{ClusterRole: &role}, reconciliation.ClusterRoleModifier{Client: p.rbac.ClusterRoles()})})
	}
	return tasks
}

func (p rolePolicy) clusterRoleBindings() (tasks []task) {
	for _, binding := range append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...) {
		tasks = append(tasks, task{"ClusterRoleBinding", binding.Name, reconcileBinding(
			reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: &binding},
			reconciliation.ClusterRoleBindingClientAdapter{Client: p.rbac.ClusterRoleBindings()})})
	}
	return tasks
}

func (p rolePolicy) roles() (tasks []task) {
	for namespace, list := range bootstrappolicy.NamespaceRoles() {
		for _, role := range list {
			tasks = append(tasks, task{"Role", namespace + "/" + role.Name, reconcileRole(
				reconciliation.RoleRuleOwner{Role: &role}, reconciliation.RoleModifier{Client: p.rbac, NamespaceClient: p.namespaces})})
		}
	}
	return tasks
}

func (p rolePolicy) roleBindings() (tasks []task) {
	for namespace, list := range bootstrappolicy.NamespaceRoleBindings() {
		for _, binding := range list {
			tasks = append(tasks, task{"RoleBinding", namespace + "/" + binding.Name, reconcileBinding(
				reconciliation.RoleBindingAdapter{RoleBinding: &binding},
				reconciliation.RoleBindingClientAdapter{Client: p.rbac, NamespaceClient: p.namespaces})})
		}
	}
	return tasks
}
