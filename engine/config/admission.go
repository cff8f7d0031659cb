package config

import (
	"errors"
	"fmt"
	"slices"
)

// Admission is about whether a write is acceptable. The members of the third gate are kube-apiserver's admission plugins, in
// kube-apiserver's order, and WebAssembly plugins among them.
type Admission struct {
	// Enable names members that are asked besides those that are by default. Default: none.
	Enable []string

	// Disable names members that are not asked although they are by default. Default: none.
	Disable []string

	// Order says where WebAssembly plugins stand among the other members, which never change their own order: each directly after
	// what is listed before it or, at the beginning, before what is listed after it. All are among AdmissionOrderMembers. Plugins
	// that it does not place are asked as by default. Default: MutatingAdmissionWebhook, plugins, ValidatingAdmissionPolicy.
	Order []string

	// ConfigFile holds an AdmissionConfiguration of Kubernetes: what members are configured with. Default: none.
	ConfigFile string
}

// MemberNodeRestriction is the member that keeps nodes from writing what is not theirs. kube-apiserver has it off by default, and
// every distribution turns it on.
const MemberNodeRestriction = "NodeRestriction"

// The members that plugins stand between by default: they see what webhooks changed, and policies judge what they changed.
const (
	memberMutatingWebhook  = "MutatingAdmissionWebhook"
	memberValidatingPolicy = "ValidatingAdmissionPolicy"
)

// AdmissionMembers are the members that the third gate can have, but for WebAssembly plugins, in the order in which they are asked:
// all to change the object first, then all to judge it.
func AdmissionMembers() []string {
	return []string{
		"AlwaysAdmit", "NamespaceAutoProvision", "NamespaceLifecycle", "NamespaceExists", "LimitPodHardAntiAffinityTopology",
		"LimitRanger", "ServiceAccount", MemberNodeRestriction, "TaintNodesByCondition", "AlwaysPullImages", "ImagePolicyWebhook",
		"PodSecurity", "PodNodeSelector", "Priority", "DefaultTolerationSeconds", "PodTolerationRestriction", "EventRateLimit",
		"ExtendedResourceToleration", "DefaultStorageClass", "StorageObjectInUseProtection", "PodGroupProtection",
		"OwnerReferencesPermissionEnforcement", "PersistentVolumeClaimResize", "RuntimeClass", "CertificateApproval",
		"CertificateSigning", "ClusterTrustBundleAttest", "CertificateSubjectRestriction", "DefaultIngressClass",
		"DenyServiceExternalIPs", "PodTopologyLabels", "NodeDeclaredFeatureValidator", "PodResizeValidator",
		"MutatingAdmissionPolicy", memberMutatingWebhook, memberValidatingPolicy, "ValidatingAdmissionWebhook",
		"ResourceQuota", "AlwaysDeny",
	}
}

// optionalAdmissionMembers are those that are not asked by default.
func optionalAdmissionMembers() []string {
	return []string{
		"AlwaysAdmit", "NamespaceAutoProvision", "NamespaceExists", "LimitPodHardAntiAffinityTopology", "AlwaysPullImages",
		"ImagePolicyWebhook", "PodNodeSelector", "PodTolerationRestriction", "EventRateLimit", "ExtendedResourceToleration",
		"OwnerReferencesPermissionEnforcement", "DenyServiceExternalIPs", "AlwaysDeny",
	}
}

// DefaultAdmissionMembers are those among AdmissionMembers that are asked unless they are disabled: kube-apiserver's, and NodeRestriction.
func DefaultAdmissionMembers() []string {
	optional := optionalAdmissionMembers()
	return slices.DeleteFunc(AdmissionMembers(), func(name string) bool { return slices.Contains(optional, name) })
}

func defaultAdmission() Admission {
	return Admission{Order: []string{memberMutatingWebhook, MemberPlugins, memberValidatingPolicy}}
}

// Members are the names of all that is asked, in that order, with plugins as Order has them.
func (a Admission) Members() []string {
	plugins := placed(a.Order)
	if !slices.Contains(a.Order, MemberPlugins) {
		plugins[memberMutatingWebhook] = plugins[memberMutatingWebhook].precededBy(MemberPlugins)
	}
	optional := optionalAdmissionMembers()
	var members []string
	for _, name := range AdmissionMembers() {
		near := plugins[name] // which stand where they stand even if it is not asked
		members = append(members, near.before...)
		if slices.Contains(a.Enable, name) || !slices.Contains(optional, name) && !slices.Contains(a.Disable, name) {
			members = append(members, name)
		}
		members = append(members, near.after...)
	}
	return members
}

// neighbours are the plugins that stand directly before and after another member.
type neighbours struct{ before, after []string }

// precededBy has another plugin first of those after the member.
func (n neighbours) precededBy(plugin string) neighbours {
	return neighbours{n.before, append([]string{plugin}, n.after...)}
}

// placed finds whose neighbours an order makes its plugins.
func placed(order []string) map[string]neighbours {
	places := map[string]neighbours{}
	var first []string // the plugins before any other member
	last := ""         // the last other member
	for _, name := range order {
		_, single := PluginMember(name)
		switch near := places[last]; {
		case !single && name != MemberPlugins:
			places[name] = neighbours{before: first}
			last, first = name, nil
		case last == "":
			first = append(first, name)
		default:
			near.after = append(near.after, name)
			places[last] = near
		}
	}
	return places
}

// resolvePaths makes the paths absolute.
func (a *Admission) resolvePaths(origins map[string]origin) (err error) {
	if a.ConfigFile != "" {
		a.ConfigFile, err = absolute(a.ConfigFile, origins["admission.configFile"])
	}
	return err
}

// checkMembers finds what would change nothing, and what contradicts itself: somebody counts on it.
func (a *Admission) checkMembers(origins map[string]origin) error {
	var errs []error
	byDefault := DefaultAdmissionMembers()
	for _, name := range a.Disable {
		where := origins["admission.disable"].where
		switch {
		case slices.Contains(a.Enable, name):
			errs = append(errs, fmt.Errorf("%s: admission.disable lists %s, which admission.enable (%s) lists as well; leave it out of one",
				where, name, origins["admission.enable"].where))
		case !slices.Contains(byDefault, name):
			errs = append(errs, fmt.Errorf("%s: admission.disable lists %s, which is not asked by default; leave it out", where, name))
		}
	}
	return errors.Join(errs...)
}

// admissionMembersValue is a list of the third gate's members.
func admissionMembersValue(field *[]string) value {
	return membersValue(field, AdmissionMembers(), false, eachOnce)
}

// admissionOrderValue is an order that plugins have among the third gate's members.
func admissionOrderValue(field *[]string) value {
	known := AdmissionMembers()
	return membersValue(field, append(known, MemberPlugins), true, func(names []string) error {
		if err := eachOnce(names); err != nil {
			return err
		}
		last, listed, plugs := -1, 0, 0
		for _, name := range names {
			at := slices.Index(known, name)
			if at < 0 {
				plugs++
				continue
			}
			listed++
			if at < last {
				return reason(fmt.Sprintf("%s before %s: their own order does not change, it only says where plugins stand among them",
					name, known[last]))
			}
			last = at
		}
		if plugs == 0 || listed == 0 {
			return reason("at least one member that stands somewhere, and plugins or " + pluginPrefix + "NAME directly before or after it")
		}
		return nil
	})
}
