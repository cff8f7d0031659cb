package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/core/install" // Status, which refusals are
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"

	"gatehouse/engine/authz"
	"gatehouse/engine/files"
)

const (
	// rbacAllowed is a request that a role allows.
	rbacAllowed = "authz/rbac, allowed"
	// bindings is how many there are beside those that every cluster has.
	bindings = 1000
)

// authzMembers are those who can decide, each with much to look through, and asked by somebody in the middle of it.
func authzMembers() []member {
	jane := &user.DefaultInfo{Name: "user-500", Groups: []string{"dev", "ops", user.AllAuthenticated}}
	node := &user.DefaultInfo{Name: "system:node:node-5", Groups: []string{user.NodesGroup, user.AllAuthenticated}}
	return []member{
		{"authz/administrator", func() (func() error, error) {
			root := &user.DefaultInfo{Name: "root", Groups: []string{user.SystemPrivilegedGroup}}
			return decided(roles(clusterBinding), authz.Options{Members: []string{"node", "rbac"}}, root, getPod(), true)
		}},
		{rbacAllowed, func() (func() error, error) {
			return decided(roles(clusterBinding), authz.Options{Members: []string{"node", "rbac"}}, jane, getPod(), true)
		}},
		{"authz/rbac, allowed in a namespace", func() (func() error, error) {
			return decided(roles(namespacedBinding), authz.Options{Members: []string{"node", "rbac"}}, jane, getPod(), true)
		}},
		{"authz/rbac, refused", func() (func() error, error) {
			return decided(roles(clusterBinding), authz.Options{Members: []string{"node", "rbac"}}, jane, getSecret(), false)
		}},
		{"authz/rbac as upstream has it, allowed", func() (func() error, error) { return upstreamsRBAC(jane) }},
		{"authz/node", func() (func() error, error) {
			return decided(pods(), authz.Options{Members: []string{"node", "rbac"}}, node, getSecret(), true)
		}},
		{"authz/abac", func() (func() error, error) { return policies(jane) }},
		{"authz/webhook, asked before", func() (func() error, error) { return hooked(jane) }},
	}
}

func getPod() *request.RequestInfo {
	return &request.RequestInfo{IsResourceRequest: true, Verb: "get", APIPrefix: "api", APIVersion: "v1", Namespace: "default",
		Resource: "pods", Name: "pod-500", Path: "/api/v1/namespaces/default/pods/pod-500"}
}

func getSecret() *request.RequestInfo {
	info := getPod()
	info.Resource, info.Name, info.Path = "secrets", "secret-5", "/api/v1/namespaces/default/secrets/secret-5"
	return info
}

// roles are those that every cluster has, and many more bindings to the first of them that lets pods be read.
func roles(binding func(i int) runtime.Object) []runtime.Object {
	objects := []runtime.Object{&rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "pod-reader"},
		Rules:      []rbacv1.PolicyRule{{Verbs: []string{"get", "list", "watch"}, APIGroups: []string{""}, Resources: []string{"pods", "pods/log"}}},
	}}
	for _, role := range append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...) {
		objects = append(objects, &role)
	}
	for _, binding := range append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...) {
		objects = append(objects, &binding)
	}
	for i := range bindings {
		objects = append(objects, binding(i))
	}
	return objects
}

func subjects(i int) []rbacv1.Subject {
	return []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: fmt.Sprint("user-", i)}}
}

func clusterBinding(i int) runtime.Object {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("pod-reader-", i)}, Subjects: subjects(i),
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "pod-reader"},
	}
}

func namespacedBinding(i int) runtime.Object {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("pod-reader-", i)}, Subjects: subjects(i),
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "pod-reader"},
	}
}

// pods are a thousand on a hundred nodes, each with a secret of its own.
func pods() []runtime.Object {
	var objects []runtime.Object
	for i := range 1000 {
		objects = append(objects, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("pod-", i)},
			Spec: corev1.PodSpec{NodeName: fmt.Sprint("node-", i%100), Volumes: []corev1.Volume{
				{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: fmt.Sprint("secret-", i)}}},
			}},
		})
	}
	return objects
}

// known are informers that know objects.
func known(objects []runtime.Object) (factory informers.SharedInformerFactory, start func()) {
	factory = informers.NewSharedInformerFactory(fake.NewClientset(objects...), 0)
	return factory, func() {
		factory.Start(context.Background().Done()) // for as long as the process lasts
		factory.WaitForCacheSync(context.Background().Done())
	}
}

// decided sends a request through the second gate: upstream's filter around a chain.
func decided(objects []runtime.Object, options authz.Options, who user.Info, info *request.RequestInfo, allowed bool) (func() error, error) {
	factory, start := known(objects)
	options.Informers, options.StartInformers = factory, start
	if options.Files == nil {
		options.Files = files.NewSet(slog.New(slog.DiscardHandler))
	}
	chain, err := authz.New(options)
	if err != nil {
		return nil, err
	}
	start()
	return gated(chain.Audited(), who, info, allowed), nil
}

func gated(chain authorizer.UnconditionalAuthorizer, who user.Info, info *request.RequestInfo, allowed bool) func() error {
	passed := false
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true })
	gate := filters.WithAuthorization(next, chain, legacyscheme.Codecs)
	r := httptest.NewRequest(http.MethodGet, info.Path, nil)
	ctx := request.WithRequestInfo(request.WithUser(audit.WithAuditContext(context.Background()), who), info)
	r = r.WithContext(ctx)
	return func() error {
		passed = false
		gate.ServeHTTP(httptest.NewRecorder(), r)
		if passed != allowed {
			return fmt.Errorf("%s may %s %s: %v, want %v", who.GetName(), info.Verb, info.Resource, passed, allowed)
		}
		return nil
	}
}

func upstreamsRBAC(who user.Info) (func() error, error) {
	factory, start := known(roles(clusterBinding))
	kinds := factory.Rbac().V1()
	chain := rbac.New(&rbac.RoleGetter{Lister: kinds.Roles().Lister()}, &rbac.RoleBindingLister{Lister: kinds.RoleBindings().Lister()},
		&rbac.ClusterRoleGetter{Lister: kinds.ClusterRoles().Lister()},
		&rbac.ClusterRoleBindingLister{Lister: kinds.ClusterRoleBindings().Lister()})
	start()
	return gated(chain, who, getPod(), true), nil
}

// beside makes files in a directory of their own, which the chain made by build has read when that returns.
func beside(build func(dir string, set *files.Set) (func() error, error)) (func() error, error) {
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return nil, err
	}
	set := files.NewSet(slog.New(slog.DiscardHandler))
	request, err := build(dir, set)
	set.Close() // the files do not change
	return request, errors.Join(err, os.RemoveAll(dir))
}

func policies(who user.Info) (func() error, error) {
	var content strings.Builder
	for i := range bindings {
		fmt.Fprintf(&content, `{"apiVersion":"authorization.k8s.io/v1","kind":"Policy","spec":{"subjects":[{"kind":"User","name":"user-%d"}],`+
			`"verbs":["get"],"resources":[{"apiGroups":[""],"resources":["pods"]}]}}`+"\n", i)
	}
	return beside(func(dir string, set *files.Set) (func() error, error) {
		options := authz.Options{Members: []string{"abac"}, PolicyFile: filepath.Join(dir, "policies"), Files: set}
		if err := os.WriteFile(options.PolicyFile, []byte(content.String()), 0o600); err != nil {
			return nil, err
		}
		return decided(nil, options, who, getPod(), true)
	})
}

func hooked(who user.Info) (func() error, error) {
	service := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authorizationv1.SubjectAccessReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Status.Allowed = true
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review) // a client that is gone reports it itself
	}))
	config := clientcmdapi.NewConfig()
	config.Clusters["service"] = &clientcmdapi.Cluster{Server: service.URL, InsecureSkipTLSVerify: true}
	config.Contexts["service"] = &clientcmdapi.Context{Cluster: "service"}
	config.CurrentContext = "service"
	return beside(func(dir string, set *files.Set) (func() error, error) {
		options := authz.Options{Members: []string{"webhook"}, Files: set, Webhook: authz.Webhook{
			ConfigFile: filepath.Join(dir, "kubeconfig"), Version: "v1", AuthorizedTTL: time.Hour, Timeout: time.Second, FailurePolicy: "Deny",
		}}
		if err := clientcmd.WriteToFile(*config, options.Webhook.ConfigFile); err != nil {
			return nil, err
		}
		return decided(nil, options, who, getPod(), true)
	})
}
