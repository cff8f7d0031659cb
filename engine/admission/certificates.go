package admission

import (
	"fmt"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/plugin/pkg/admission/certificates/approval"
	"k8s.io/kubernetes/plugin/pkg/admission/certificates/ctbattest"
	"k8s.io/kubernetes/plugin/pkg/admission/certificates/signing"
	"k8s.io/kubernetes/plugin/pkg/admission/certificates/subjectrestriction"
)

// newCertificateMembers keep certificates from being approved, signed or vouched for in a signer's name by those who are not
// allowed to, and from being asked for in the name of system:masters. They are upstream's, in upstream's order.
func newCertificateMembers(config Config) ([]admission.Interface, error) {
	named := []struct {
		name   string
		member admission.Interface
	}{
		{approval.PluginName, approval.NewPlugin()},
		{signing.PluginName, signing.NewPlugin()},
		{ctbattest.PluginName, ctbattest.NewPlugin()},
		{subjectrestriction.PluginName, subjectrestriction.NewPlugin()},
	}
	members := make([]admission.Interface, len(named))
	for i, n := range named {
		if wanting, ok := n.member.(initializer.WantsUnconditionalAuthorizer); ok {
			wanting.SetUnconditionalAuthorizer(config.Authorizer)
		}
		if wanting, ok := n.member.(initializer.WantsFeatures); ok {
			wanting.InspectFeatureGates(utilfeature.DefaultFeatureGate)
		}
		if initialized, ok := n.member.(admission.InitializationValidator); ok {
			if err := initialized.ValidateInitialization(); err != nil {
				return nil, fmt.Errorf("set up admission member %s: %w", n.name, err)
			}
		}
		members[i] = n.member
	}
	return members, nil
}
