package controllers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	rbacclient "k8s.io/client-go/kubernetes/typed/rbac/v1"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	"k8s.io/component-helpers/auth/rbac/reconciliation"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

// aggregationWorkers is how many aggregated roles are put together at a time.
const aggregationWorkers = 2

// buildAggregation keeps the rules of aggregated ClusterRoles, such as admin, edit and view, those of the roles that they select.
func buildAggregation(_ context.Context, t tools) (func(context.Context), error) {
	aggregation := clusterroleaggregation.NewClusterRoleAggregation(t.Informers.Rbac().V1().ClusterRoles(), t.client.RbacV1())
	return func(ctx context.Context) { aggregation.Run(ctx, aggregationWorkers) }, nil
}

// rolePolicy is upstream's bootstrap policy, and how to bring it into being: by upstream's reconciliation, as its start hook
// and kubectl auth reconcile do, but with what there is read from listers. These must show each write at once.
type rolePolicy struct {
	rbac       rbacclient.RbacV1Interface
	namespaces coreclient.NamespaceInterface

	roles           rbaclisters.RoleLister
	roleBindings    rbaclisters.RoleBindingLister
	clusterRoles    rbaclisters.ClusterRoleLister
	clusterBindings rbaclisters.ClusterRoleBindingLister

	logger *slog.Logger // of what is left alone
}

func newRolePolicy(client kubernetes.Interface, factory informers.SharedInformerFactory, logger *slog.Logger) rolePolicy {
	kinds := factory.Rbac().V1()
	return rolePolicy{
		logger: logger,
		rbac:   client.RbacV1(), namespaces: client.CoreV1().Namespaces(),
		roles: kinds.Roles().Lister(), roleBindings: kinds.RoleBindings().Lister(),
		clusterRoles: kinds.ClusterRoles().Lister(), clusterBindings: kinds.ClusterRoleBindings().Lister(),
	}
}

// bootstrapObject is one role or binding of the policy.
type bootstrapObject struct {
	kind, name string
	// find fails if it is not there. It holds on to no more than its name.
	find func() error
	// ensure makes it, or gives back to it what was taken away, unless it is annotated to be left alone.
	ensure func() error
}

// ensureObjects ensures as many as it can, until ctx ends.
func ensureObjects(ctx context.Context, objects []bootstrapObject) error {
	// Writes that wait together share one commit.
	const together = 8
	failures := make([]error, len(objects))
	var next atomic.Int64
	var running sync.WaitGroup
	for range together {
		running.Go(func() {
			for at := next.Add(1) - 1; at < int64(len(objects)) && ctx.Err() == nil; at = next.Add(1) - 1 {
				if err := objects[at].ensure(); err != nil {
					failures[at] = fmt.Errorf("ensure %s %s: %w", objects[at].kind, objects[at].name, err)
				}
			}
		})
	}
	running.Wait()
	return errors.Join(append(failures, ctx.Err())...)
}

// awaited are objects that have not been seen yet.
type awaited struct {
	mu     sync.Mutex
	unseen []func() error // guarded by mu
}

func await(objects []bootstrapObject) *awaited {
	a := &awaited{}
	for _, object := range objects {
		a.unseen = append(a.unseen, object.find)
	}
	return a
}

// check fails until all have been seen.
func (a *awaited) check() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.unseen) > 0 {
		last := len(a.unseen) - 1
		if err := a.unseen[last](); err != nil {
			return err
		}
		a.unseen = a.unseen[:last]
	}
	a.unseen = nil
	return nil
}

// CheckRoles tells whether the bootstrap roles and bindings exist. It is a health check: before that, on a new data directory,
// nobody but the administrators may do anything.
func (l *Loops) CheckRoles(*http.Request) error { return l.roles.check() }

// objects are those of the policy, roles before what binds them.
func (p rolePolicy) objects() []bootstrapObject {
	var all []bootstrapObject
	for _, role := range append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...) {
		known := knownClusterRoles{reconciliation.ClusterRoleModifier{Client: p.rbac.ClusterRoles()}, p.clusterRoles}
		all = append(all, p.roleObject("ClusterRole", reconciliation.ClusterRoleRuleOwner{ClusterRole: &role}, known))
	}
	for _, list := range bootstrappolicy.NamespaceRoles() {
		for _, role := range list {
			known := knownRoles{reconciliation.RoleModifier{Client: p.rbac, NamespaceClient: p.namespaces}, p.roles}
			all = append(all, p.roleObject("Role", reconciliation.RoleRuleOwner{Role: &role}, known))
		}
	}
	for _, binding := range append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...) {
		known := knownClusterBindings{reconciliation.ClusterRoleBindingClientAdapter{Client: p.rbac.ClusterRoleBindings()}, p.clusterBindings}
		all = append(all, p.bindingObject("ClusterRoleBinding", reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: &binding}, known))
	}
	for _, list := range bootstrappolicy.NamespaceRoleBindings() {
		for _, binding := range list {
			known := knownBindings{reconciliation.RoleBindingClientAdapter{Client: p.rbac, NamespaceClient: p.namespaces}, p.roleBindings}
			all = append(all, p.bindingObject("RoleBinding", reconciliation.RoleBindingAdapter{RoleBinding: &binding}, known))
		}
	}
	return all
}

func (p rolePolicy) roleObject(kind string, role reconciliation.RuleOwner, known reconciliation.RuleOwnerModifier) bootstrapObject {
	namespace, name := role.GetNamespace(), role.GetName()
	return bootstrapObject{
		kind: kind, name: path(namespace, name),
		find: func() error {
			_, err := known.Get(namespace, name)
			return err
		},
		ensure: func() error {
			result, err := (&reconciliation.ReconcileRoleOptions{Role: role, Client: known, Confirm: true}).Run()
			if err == nil && result.Protected && result.Operation != reconciliation.ReconcileNone {
				p.logger.Warn("a role is annotated to be left alone, and lacks rules", "kind", kind, "name", path(namespace, name), "missing", result.MissingRules)
			}
			return err
		},
	}
}

func (p rolePolicy) bindingObject(kind string, binding reconciliation.RoleBinding, known reconciliation.RoleBindingModifier) bootstrapObject {
	namespace, name := binding.GetNamespace(), binding.GetName()
	return bootstrapObject{
		kind: kind, name: path(namespace, name),
		find: func() error {
			_, err := known.Get(namespace, name)
			return err
		},
		ensure: func() error {
			result, err := (&reconciliation.ReconcileRoleBindingOptions{RoleBinding: binding, Client: known, Confirm: true}).Run()
			if err == nil && result.Protected && result.Operation != reconciliation.ReconcileNone {
				p.logger.Warn("a binding is annotated to be left alone, and lacks subjects",
					"kind", kind, "name", path(namespace, name), "missing", result.MissingSubjects)
			}
			return err
		},
	}
}

// path is the name of an object with its namespace, if it is in one.
func path(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// Upstream's modifiers, reading from listers. What they return is shared: upstream changes only copies of it.
type (
	knownClusterRoles struct {
		reconciliation.ClusterRoleModifier
		lister rbaclisters.ClusterRoleLister
	}
	knownRoles struct {
		reconciliation.RoleModifier
		lister rbaclisters.RoleLister
	}
	knownClusterBindings struct {
		reconciliation.ClusterRoleBindingClientAdapter
		lister rbaclisters.ClusterRoleBindingLister
	}
	knownBindings struct {
		reconciliation.RoleBindingClientAdapter
		lister rbaclisters.RoleBindingLister
	}
)

// Get implements reconciliation.RuleOwnerModifier.
func (k knownClusterRoles) Get(_, name string) (reconciliation.RuleOwner, error) {
	role, err := k.lister.Get(name)
	return reconciliation.ClusterRoleRuleOwner{ClusterRole: role}, err
}

// Get implements reconciliation.RuleOwnerModifier.
func (k knownRoles) Get(namespace, name string) (reconciliation.RuleOwner, error) {
	role, err := k.lister.Roles(namespace).Get(name)
	return reconciliation.RoleRuleOwner{Role: role}, err
}

// Get implements reconciliation.RoleBindingModifier.
func (k knownClusterBindings) Get(_, name string) (reconciliation.RoleBinding, error) {
	binding, err := k.lister.Get(name)
	return reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: binding}, err
}

// Get implements reconciliation.RoleBindingModifier.
func (k knownBindings) Get(namespace, name string) (reconciliation.RoleBinding, error) {
	binding, err := k.lister.RoleBindings(namespace).Get(name)
	return reconciliation.RoleBindingAdapter{RoleBinding: binding}, err
}
