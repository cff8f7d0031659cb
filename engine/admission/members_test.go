package admission

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/kubernetes/pkg/kubeapiserver/options"

	"gatehouse/engine/config"
)

func TestTheConfigurationKnowsUpstreamsMembersAndTheirOrder(t *testing.T) {
	if diff := cmp.Diff(options.AllOrderedPlugins, config.AdmissionMembers()); diff != "" {
		t.Errorf("members (-upstream +ours):\n%s", diff)
	}
	off := options.DefaultOffAdmissionPlugins()
	want := slices.DeleteFunc(slices.Clone(options.AllOrderedPlugins), func(name string) bool {
		return off.Has(name) && name != config.MemberNodeRestriction
	})
	if diff := cmp.Diff(want, config.DefaultAdmissionMembers()); diff != "" {
		t.Errorf("members by default (-upstream with NodeRestriction +ours):\n%s", diff)
	}
	if unknown := sets.New(config.AdmissionMembers()...).Difference(sets.New(newRegistry().Registered()...)); len(unknown) > 0 {
		t.Errorf("nothing is registered for %v", unknown)
	}
}
