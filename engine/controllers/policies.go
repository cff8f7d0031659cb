package controllers

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
	"k8s.io/kubernetes/pkg/controller/validatingadmissionpolicystatus"
)

const (
	// policyWorkers is how many policies are type-checked at a time (upstream's default is five).
	policyWorkers = 1
	// kindsReset is how often what discovery told about kinds is forgotten, as in a kube-controller-manager: there may be new ones.
	kindsReset = 30 * time.Second
)

// buildPolicyStatus checks the types in expressions of ValidatingAdmissionPolicies, and tells of mistakes in their status. Schemas are
// read from the server's own documents, since a table of all of them takes megabytes that most servers would never use.
func buildPolicyStatus(_ context.Context, t tools) (func(context.Context), error) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(t.client.Discovery()))
	checker := &validating.TypeChecker{
		SchemaResolver: &resolver.ClientDiscoveryResolver{Discovery: t.client.Discovery()},
		RestMapper:     mapper,
	}
	status, err := validatingadmissionpolicystatus.NewController(t.Informers.Admissionregistration().V1().ValidatingAdmissionPolicies(),
		t.client.AdmissionregistrationV1().ValidatingAdmissionPolicies(), checker)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		go wait.UntilWithContext(ctx, func(context.Context) { mapper.Reset() }, kindsReset)
		status.Run(ctx, policyWorkers)
	}, nil
}
