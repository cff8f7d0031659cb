package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
)

// Controllers says which loops run in this server that a kube-controller-manager could run instead. Its items are
// those of kube-controller-manager's --controllers: a name turns a loop on, a name behind a dash turns it off, and * stands for
// all that are on by default. The single item ControllersExternal leaves all loops, but those that are named beside it, to a
// kube-controller-manager.
type Controllers []string

const (
	// ControllersDefault stands in Controllers for all loops that are on by default.
	ControllersDefault = "*"
	// ControllersExternal stands in Controllers for none of them.
	ControllersExternal = "external"
	// controllerOff begins the name of a loop that is off.
	controllerOff = "-"
)

// Runs tells whether the loop of a name runs. The first item that is about it decides.
func (c Controllers) Runs(name string) bool {
	for _, item := range c {
		switch item {
		case name:
			return true
		case controllerOff + name:
			return false
		}
	}
	return slices.Contains(c, ControllersDefault)
}

// ControllerNames are the loops that Controllers can name, by kube-controller-manager's names.
func ControllerNames() []string { return slices.Sorted(maps.Keys(controllerAliases())) }

// controllerAliases are the loops that Controllers can name, each with the short name that kube-controller-manager
// takes as well, "" if there is none.
func controllerAliases() map[string]string {
	return map[string]string{
		names.BootstrapSignerController:                          "bootstrapsigner",
		names.CertificateSigningRequestApprovingController:       "csrapproving",
		names.CertificateSigningRequestCleanerController:         "csrcleaner",
		names.CertificateSigningRequestSigningController:         "csrsigning",
		names.ClusterRoleAggregationController:                   "clusterrole-aggregation",
		names.GarbageCollectorController:                         "garbagecollector",
		names.LegacyServiceAccountTokenCleanerController:         "legacy-service-account-token-cleaner",
		names.KubeAPIServerClusterTrustBundlePublisherController: "",
		names.NamespaceController:                                "namespace",
		names.PersistentVolumeClaimProtectionController:          "pvc-protection",
		names.PersistentVolumeProtectionController:               "pv-protection",
		names.PodCertificateRequestCleanerController:             "",
		names.ResourceQuotaController:                            "resourcequota",
		names.TTLAfterFinishedController:                         "ttl-after-finished",
		names.ValidatingAdmissionPolicyStatusController:          "",
		names.VolumeAttributesClassProtectionController:          "",
		names.RootCACertificatePublisherController:               "root-ca-cert-publisher",
		names.ServiceAccountController:                           "serviceaccount",
		names.ServiceAccountTokenController:                      "serviceaccount-token",
		names.TokenCleanerController:                             "tokencleaner",
	}
}

func controllersValue(field *Controllers) value {
	want := fmt.Sprintf("%s for all but those behind a dash, such as %s,%s%s, or %s for none but those named",
		ControllersDefault, ControllersDefault, controllerOff, names.NamespaceController, ControllersExternal)
	return list((*[]string)(field), want, parseController, same, checkControllers)
}

// parseController makes kube-controller-manager's name of what was given.
func parseController(text string) (string, error) {
	if text == ControllersDefault || text == ControllersExternal {
		return text, nil
	}
	name := strings.TrimPrefix(text, controllerOff)
	for full, short := range controllerAliases() {
		if name != "" && (name == full || name == short) {
			return strings.TrimSuffix(text, name) + full, nil
		}
	}
	known := ControllerNames()
	if nearest := Nearest(name, known); nearest != "" {
		return "", reason(fmt.Sprintf("the name of a controller of this server; did you mean %s?", nearest))
	}
	return "", reason("one of the controllers of this server, which are " + strings.Join(known, ", "))
}

func checkControllers(items []string) error {
	switch {
	case len(items) == 0:
		return reason("at least one item; " + ControllersExternal + " leaves all controllers to a kube-controller-manager")
	case !slices.Contains(items, ControllersExternal):
		return nil
	case slices.Contains(items, ControllersDefault):
		return reason("either " + ControllersDefault + " or " + ControllersExternal)
	}
	for _, item := range items {
		if strings.HasPrefix(item, controllerOff) {
			return reason(ControllersExternal + " with nothing but names to run here all the same; all others are off")
		}
	}
	return nil
}
