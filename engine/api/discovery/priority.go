package discovery

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
)

// Priority places a group version in lists, the highest first. Clients that know a resource only by its name, such as
// "events", take the first group that has it, in its first version.
type Priority struct {
	// Group places the group among groups; of a group's versions the highest counts.
	Group int32
	// Version places the version in its group.
	Version int32
}

// defaultPriority is what kube-apiserver registers the group version with. The numbers are those of apiVersionPriorities
// in cmd/kube-apiserver/app/aggregator.go and of DefaultGenericAPIServicePriorities in pkg/controlplane/apiserver, which
// cannot be imported without the server around them. Only groups that are served by default are there.
func defaultPriority(version schema.GroupVersion) Priority {
	groups := map[string]int32{
		"":                             18000,
		"apiregistration.k8s.io":       20000, // has none there: the aggregator puts its own group before all others
		"apps":                         17800,
		"events.k8s.io":                17750,
		"authentication.k8s.io":        17700,
		"authorization.k8s.io":         17600,
		"autoscaling":                  17500,
		"batch":                        17400,
		"certificates.k8s.io":          17300,
		"networking.k8s.io":            17200,
		"policy":                       17100,
		"rbac.authorization.k8s.io":    17000,
		"storage.k8s.io":               16800,
		"apiextensions.k8s.io":         16700,
		"admissionregistration.k8s.io": 16700,
		"scheduling.k8s.io":            16600,
		"coordination.k8s.io":          16500,
		"node.k8s.io":                  16300,
		"discovery.k8s.io":             16200,
		"resource.k8s.io":              16200,
		"flowcontrol.apiserver.k8s.io": 16100,
		"storagemigration.k8s.io":      15800,
	}
	group, known := groups[version.Group]
	switch {
	case !known:
		return Priority{Group: 1000, Version: 100} // as pkg/controlplane/controller/crdregistration has it for custom resources
	case version == schema.GroupVersion{Group: "autoscaling", Version: "v2"}:
		return Priority{Group: group, Version: 30}
	default:
		return Priority{Group: group, Version: 15}
	}
}

// groupList orders the groups and their versions the way that kube-aggregator does, with its own code. The core group has
// no place in it.
func groupList(versions []served) *metav1.APIGroupList {
	services := make([]*apiregistrationv1.APIService, 0, len(versions))
	for _, version := range versions {
		if version.Group == "" {
			continue
		}
		services = append(services, &apiregistrationv1.APIService{
			ObjectMeta: metav1.ObjectMeta{Name: version.Version + "." + version.Group},
			Spec: apiregistrationv1.APIServiceSpec{
				Group:                version.Group,
				Version:              version.Version,
				GroupPriorityMinimum: version.Priority.Group,
				VersionPriority:      version.Priority.Version,
			},
		})
	}
	list := &metav1.APIGroupList{Groups: []metav1.APIGroup{}}
	for _, group := range helper.SortedByGroupAndVersion(services) {
		list.Groups = append(list.Groups, apiGroup(group))
	}
	return list
}

// apiGroup describes one group; its versions are in order.
func apiGroup(versions []*apiregistrationv1.APIService) metav1.APIGroup {
	group := metav1.APIGroup{Name: versions[0].Spec.Group}
	for _, version := range versions {
		group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{
			GroupVersion: version.Spec.Group + "/" + version.Spec.Version,
			Version:      version.Spec.Version,
		})
	}
	group.PreferredVersion = group.Versions[0]
	return group
}
