package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/registry/rbac/validation"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"

	"gatehouse/tests/harness"
)

// inquirer is somebody who asks for everything, and what they are bound to.
type inquirer struct {
	name   string
	groups []string
	// everywhere and here are ClusterRoles, for the cluster and for the default namespace.
	everywhere, here []string
}

// info is who the server takes them for.
func (i inquirer) info() user.Info {
	groups := append(slices.Clone(i.groups), user.AllAuthenticated)
	if namespace, _, err := serviceaccount.SplitUsername(i.name); err == nil {
		groups = append(groups, serviceaccount.MakeGroupNames(namespace)...)
	}
	return &user.DefaultInfo{Name: i.name, Groups: groups}
}

func inquirers() []inquirer {
	return []inquirer{
		{name: "nobody"},
		{name: "viewer", everywhere: []string{"view"}},
		{name: "editor", here: []string{"edit"}},
		{name: "keeper", here: []string{"admin"}},
		{name: "root", everywhere: []string{"cluster-admin"}},
		{name: "partly", everywhere: []string{"matrix:partly"}, here: []string{"view", "matrix:gone"}},
		{name: "member", groups: []string{"matrix:operators"}},
		{name: "system:serviceaccount:default:matrix"},
		{name: user.KubeScheduler},
		{name: user.KubeControllerManager},
		{name: "system:serviceaccount:kube-system:namespace-controller"},
	}
}

// TestEveryUserVerbAndResource asks for each resource with each verb as several users, and expects what upstream's evaluator says
// to the roles and bindings that the server shows.
func TestEveryUserVerbAndResource(t *testing.T) {
	server := harness.Start(t, harness.Options{})
	client := typed(t, server.ClientConfig())
	bind(t, client)
	eventually(t, func() error { return aggregated(t, client) })
	oracle := evaluator(t, client)
	asker := newPlain(t, server)
	resources := everyResource(t, client)

	outcomes := map[bool]int{}
	for _, who := range inquirers() {
		t.Run(who.name, func(t *testing.T) {
			asker.t = t
			for _, resource := range resources {
				for _, question := range resource.questions() {
					decision, _, err := oracle.Authorize(t.Context(), question.attributes(who))
					if err != nil {
						t.Fatal(err)
					}
					want := decision == authorizer.DecisionAllow
					if got := question.ask(asker, who); got != want {
						t.Errorf("%s %s: allowed is %v, upstream says %v", question.verb, question.path, got, want)
					}
					outcomes[want]++
				}
			}
		})
	}
	if outcomes[true] < 500 || outcomes[false] < 500 {
		t.Errorf("%d are allowed and %d refused: too few of some to prove anything", outcomes[true], outcomes[false])
	}
}

// bind makes the roles and bindings of the inquirers.
func bind(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	roles := client.RbacV1()
	create := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := roles.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "matrix:partly"}, Rules: []rbacv1.PolicyRule{
		{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"*"}, ResourceNames: []string{"none"}},
		{Verbs: []string{"*"}, APIGroups: []string{"apps"}, Resources: []string{"*/scale", "deployments"}},
		{Verbs: []string{"deletecollection", "list"}, APIGroups: []string{"*"}, Resources: []string{"pods", "leases", "nodes/status"}},
	}}, metav1.CreateOptions{})
	create(err)
	for i, who := range inquirers() {
		subject := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: who.name}}
		for _, role := range who.everywhere {
			_, err := roles.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("matrix:%d:%s", i, role)}, Subjects: subject, RoleRef: clusterRole(role),
			}, metav1.CreateOptions{})
			create(err)
		}
		for _, role := range who.here {
			_, err := roles.RoleBindings(metav1.NamespaceDefault).Create(t.Context(), &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("matrix:%d:%s", i, role)}, Subjects: subject, RoleRef: clusterRole(role),
			}, metav1.CreateOptions{})
			create(err)
		}
	}
	_, err = roles.RoleBindings(metav1.NamespaceDefault).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "matrix:others"},
		Subjects: []rbacv1.Subject{
			{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "matrix:operators"},
			{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceDefault, Name: "matrix"},
		},
		RoleRef: clusterRole("edit"),
	}, metav1.CreateOptions{})
	create(err)
}

func clusterRole(name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
}

// aggregated fails until the roles that are put together of others are so, and do not change any more.
func aggregated(t *testing.T, client kubernetes.Interface) error {
	t.Helper()
	list, err := client.RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, role := range list.Items {
		if role.AggregationRule == nil {
			continue
		}
		for i := range role.AggregationRule.ClusterRoleSelectors {
			selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
			if err != nil {
				return err
			}
			parts, err := client.RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{LabelSelector: selector.String()})
			if err != nil {
				return err
			}
			for _, part := range parts.Items {
				for _, rule := range part.Rules {
					has := func(known rbacv1.PolicyRule) bool { return known.String() == rule.String() }
					if part.Name != role.Name && !slices.ContainsFunc(role.Rules, has) {
						return fmt.Errorf("the role %s lacks a rule of %s", role.Name, part.Name)
					}
				}
			}
		}
	}
	return nil
}

// evaluator is upstream's, of what the server shows.
func evaluator(t *testing.T, client kubernetes.Interface) *rbac.RBACAuthorizer {
	t.Helper()
	all := client.RbacV1()
	roles, err := all.Roles("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bindings, err := all.RoleBindings("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	clusterRoles, err := all.ClusterRoles().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	clusterBindings, err := all.ClusterRoleBindings().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, static := validation.NewTestRuleResolver(pointers(roles.Items), pointers(bindings.Items), pointers(clusterRoles.Items), pointers(clusterBindings.Items))
	return rbac.New(static, static, static, static)
}

func pointers[T any](items []T) []*T {
	all := make([]*T, len(items))
	for i := range items {
		all[i] = &items[i]
	}
	return all
}

// served is a resource, or a subresource, that discovery tells of.
type served struct {
	schema.GroupVersion
	metav1.APIResource
}

func everyResource(t *testing.T, client kubernetes.Interface) []served {
	t.Helper()
	_, lists, err := client.Discovery().ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	var all []served
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, resource := range list.APIResources {
			all = append(all, served{version, resource})
		}
	}
	return all
}

// question is a request that changes nothing, whoever makes it: what it is about does not exist, or cannot be decoded.
type question struct {
	served
	verb, method, path, name, namespace, body string
}

// questions are asked in the default namespace, or of the cluster, for objects and for collections.
func (s served) questions() []question {
	resource, subresource, _ := strings.Cut(s.Name, "/")
	root := "/apis/" + s.GroupVersion.String()
	if s.GroupVersion.Group == "" {
		root = "/api/" + s.GroupVersion.Version
	}
	base := question{served: s}
	if s.Namespaced {
		base.namespace = metav1.NamespaceDefault
		root += "/namespaces/" + base.namespace
	}
	of := func(verb, method, name, query, body string) question {
		q := base
		q.verb, q.method, q.name, q.body = verb, method, name, body
		q.path = root + "/" + resource
		if name != "" {
			q.path += "/" + name
		}
		if subresource != "" {
			q.path += "/" + subresource
		}
		q.path += query
		return q
	}
	questions := []question{
		of("get", http.MethodGet, "none", "", ""),
		of("update", http.MethodPut, "none", "", "{"),
		of("patch", http.MethodPatch, "none", "", "{"),
		of("delete", http.MethodDelete, "none", "", ""),
	}
	if subresource == "" {
		const none = "?labelSelector=matrix%3Dnone"
		questions = append(questions,
			of("list", http.MethodGet, "", none, ""),
			of("create", http.MethodPost, "", "", "{"),
			of("deletecollection", http.MethodDelete, "", none, ""))
	}
	return questions
}

func (q question) attributes(who inquirer) authorizer.Attributes {
	resource, subresource, _ := strings.Cut(q.Name, "/")
	return authorizer.AttributesRecord{
		User: who.info(), ResourceRequest: true, Verb: q.verb, APIGroup: q.GroupVersion.Group, APIVersion: q.GroupVersion.Version,
		Resource: resource, Subresource: subresource, Namespace: q.namespace, Name: q.name, Path: q.path,
	}
}

// ask says whether the request passes the gate, whatever becomes of it then.
func (q question) ask(asker plain, who inquirer) bool {
	asker.t.Helper()
	header := []string{"Impersonate-User: " + who.name, "Content-Type: application/json"}
	for _, group := range who.groups {
		header = append(header, "Impersonate-Group: "+group)
	}
	answered := asker.do(q.method, q.path, q.body, header...)
	if answered.code != http.StatusForbidden {
		return true
	}
	var status metav1.Status
	if err := json.Unmarshal([]byte(answered.body), &status); err != nil {
		asker.t.Fatalf("%s %s: %v", q.method, q.path, err)
	}
	// Other refusals of 403 come from behind the gate.
	return !strings.Contains(status.Message, fmt.Sprintf("User %q cannot %s resource", who.name, q.verb))
}

// TestDeletedBindingsAllowNothing: what was acknowledged counts for the very next request.
func TestDeletedBindingsAllowNothing(t *testing.T) {
	server := harness.Start(t, harness.Options{})
	client := typed(t, server.ClientConfig())
	config := server.ClientConfig()
	config.Impersonate.UserName = "jane"
	jane := typed(t, config)
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "janes"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "jane"}},
	}
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "reader"}}
	here := client.RbacV1()
	role, err := here.Roles(metav1.NamespaceDefault).Create(t.Context(), role, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list := func(want bool, when string) {
		t.Helper()
		if _, err := jane.CoreV1().ConfigMaps(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{}); (err == nil) != want {
			t.Errorf("%s: %v", when, err)
		}
	}
	for range 50 {
		if _, err := here.RoleBindings(metav1.NamespaceDefault).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		list(false, "bound to a role without rules, jane may")
		role.Rules = []rbacv1.PolicyRule{{Verbs: []string{"list"}, APIGroups: []string{""}, Resources: []string{"configmaps"}}}
		if role, err = here.Roles(metav1.NamespaceDefault).Update(t.Context(), role, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		list(true, "bound to a role with rules, jane may not")
		if err := here.RoleBindings(metav1.NamespaceDefault).Delete(t.Context(), binding.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		list(false, "unbound, jane may")
		role.Rules = nil
		if role, err = here.Roles(metav1.NamespaceDefault).Update(t.Context(), role, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
