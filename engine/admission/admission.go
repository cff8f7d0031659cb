// Package admission is the third gate: is this write acceptable? It is a chain of upstream's admission.Interface: all
// members mutate in their order, then all validate.
package admission

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/handlers/fieldmanager"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
)

// Config is what the built-in members need, and the members that come after them.
type Config struct {
	Client    kubernetes.Interface
	Informers informers.SharedInformerFactory
	// Authorizer tells members what else the writer may do, such as approve requests to a signer of certificates.
	Authorizer authorizer.UnconditionalAuthorizer
	// Plugins are users' members; they see what the built-in ones changed.
	Plugins []admission.Interface
}

// New builds the chain. Whatever the members do to managedFields, the outcome is checked and, where it is invalid, undone,
// as upstream does.
func New(config Config) (admission.Interface, error) {
	namespaces, err := newNamespaceLifecycle(config)
	if err != nil {
		return nil, fmt.Errorf("set up admission member %s: %w", lifecycle.PluginName, err)
	}
	certificates, err := newCertificateMembers(config)
	if err != nil {
		return nil, err
	}
	members := slices.Concat([]admission.Interface{namespaces}, certificates, config.Plugins)
	return fieldmanager.NewManagedFieldsValidatingAdmissionController(admission.NewChainHandler(members...)), nil
}

// newNamespaceLifecycle refuses objects in namespaces that are not there or going, and the end of those that must stay.
func newNamespaceLifecycle(config Config) (admission.Interface, error) {
	member, err := lifecycle.NewLifecycle(sets.New(metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic))
	if err != nil {
		return nil, err
	}
	member.SetExternalKubeClientSet(config.Client)
	member.SetExternalKubeInformerFactory(config.Informers)
	return member, member.ValidateInitialization()
}
