package config

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Authorization is about what those who were let in may do. Members of the group system:masters may do everything, and anybody
// may get the health endpoints, whatever is set here.
type Authorization struct {
	// Order is the order in which the members of the second gate are asked; the first that allows or denies decides, and what
	// none allows is refused. All are among AuthorizationMembers; there are none if ConfigFile is set. Default: node, rbac.
	Order []string

	// PolicyFile holds the policies that the member abac decides by; package gatehouse/engine/authz/abac says what they look
	// like. Default: none.
	PolicyFile string

	// ConfigFile holds an AuthorizationConfiguration of Kubernetes, in place of Order and Webhook. Default: none.
	ConfigFile string

	// Webhook is about the service that the member webhook asks.
	Webhook AccessWebhook
}

// AccessWebhook is about a service that answers SubjectAccessReviews.
type AccessWebhook struct {
	// ConfigFile is in the format of a kubeconfig: clusters are the service, users the server's credentials for it.
	ConfigFile string
	// Version of SubjectAccessReview that the service is sent, v1 or v1beta1. Default: v1; kube-apiserver's is v1beta1.
	Version string
	// AuthorizedTTL and UnauthorizedTTL are how long the service's answers hold, those that allow and the others. 0 has it asked
	// each time. Default: 5m and 30s.
	AuthorizedTTL   time.Duration
	UnauthorizedTTL time.Duration
	// Timeout is how long it may take to answer. Default: 10s.
	Timeout time.Duration
	// FailurePolicy says what its failures mean: Deny, or NoOpinion, by which the members after it are asked. Default: Deny;
	// kube-apiserver's is NoOpinion.
	FailurePolicy string
}

// The names of the members of the second gate, by which Authorization.Order lists them.
const (
	MemberNode          = "node"
	MemberRBAC          = "rbac"
	MemberABAC          = "abac"
	MemberAccessWebhook = "webhook"
	MemberAlwaysAllow   = "alwaysAllow"
	MemberAlwaysDeny    = "alwaysDeny"
)

// AuthorizationMembers are the members that the second gate can have. Single plugins can be members besides.
func AuthorizationMembers() []string {
	return []string{MemberNode, MemberRBAC, MemberABAC, MemberAccessWebhook, MemberAlwaysAllow, MemberAlwaysDeny, MemberPlugins}
}

// The values of AccessWebhook.FailurePolicy.
const (
	FailurePolicyDeny      = "Deny"
	FailurePolicyNoOpinion = "NoOpinion"
)

func defaultAuthorization() Authorization {
	return Authorization{
		Order: []string{MemberPlugins, MemberNode, MemberRBAC},
		Webhook: AccessWebhook{
			Version:         "v1",
			AuthorizedTTL:   5 * time.Minute,
			UnauthorizedTTL: 30 * time.Second,
			Timeout:         10 * time.Second,
			FailurePolicy:   FailurePolicyDeny,
		},
	}
}

// resolvePaths makes the paths absolute.
func (a *Authorization) resolvePaths(origins map[string]origin) error {
	var errs []error
	for path, file := range map[string]*string{
		"authorization.policyFile":         &a.PolicyFile,
		"authorization.configFile":         &a.ConfigFile,
		"authorization.webhook.configFile": &a.Webhook.ConfigFile,
	} {
		if *file != "" {
			var err error
			*file, err = absolute(*file, origins[path])
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// checkMembers finds members that are asked and cannot answer, and files that nobody would read.
func (a *Authorization) checkMembers(origins map[string]origin) error {
	if a.ConfigFile != "" {
		err := a.checkAlone(origins)
		a.Order = nil
		return err
	}
	var errs []error
	for _, member := range []struct{ name, key, file string }{
		{MemberABAC, "authorization.policyFile", a.PolicyFile},
		{MemberAccessWebhook, "authorization.webhook.configFile", a.Webhook.ConfigFile},
	} {
		listed := slices.Contains(a.Order, member.name)
		switch {
		case listed && member.file == "":
			errs = append(errs, fmt.Errorf("%s: authorization.order lists %s, which needs a file; set %s, or leave %s out",
				origins["authorization.order"].where, member.name, member.key, member.name))
		case !listed && member.file != "":
			errs = append(errs, fmt.Errorf("%s: %s is set, but authorization.order (%s) does not list %s; list it, or leave the file out",
				origins[member.key].where, member.key, origins["authorization.order"].where, member.name))
		}
	}
	return errors.Join(errs...)
}

// checkAlone finds what the AuthorizationConfiguration says as well, or would have to say.
func (a *Authorization) checkAlone(origins map[string]origin) error {
	var errs []error
	for _, key := range []string{"authorization.order", "authorization.webhook.configFile"} {
		if at, set := origins[key]; set && at.where != "default" {
			errs = append(errs, fmt.Errorf("%s: %s cannot be set beside authorization.configFile (%s); say it in that file, or leave that out",
				at.where, key, origins["authorization.configFile"].where))
		}
	}
	return errors.Join(errs...)
}

// gateOrderValue is an order that has its own words for none.
func gateOrderValue(field *[]string) value {
	v := orderValue(field, AuthorizationMembers())
	set := v.set
	v.set = func(texts []string) error {
		if len(texts) == 0 {
			return &textError{reason: "at least one name; " + MemberAlwaysDeny + " alone leaves everything to system:masters"}
		}
		return set(texts)
	}
	return v
}
