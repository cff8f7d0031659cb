package plugins

import (
	"errors"
	"fmt"
	"strings"

	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
)

// authorizationConfig says what an authorizer is asked about.
type authorizationConfig struct {
	// Rules are what it is asked about, any of them; every request when left out.
	Rules []authorizationRule `json:"rules,omitempty"`
	// MatchConditions are CEL expressions, all of which must be true besides. matcher evaluates them; nil when there are none.
	MatchConditions []apiserverv1.WebhookMatchCondition `json:"matchConditions,omitempty"`
	matcher         *authorizationcel.CELMatcher
}

// authorizationRule matches when each list that it has does; a list matches when one of its patterns does. Patterns are whole, or
// end in *.
type authorizationRule struct {
	Users  []string `json:"users,omitempty"`
	Groups []string `json:"groups,omitempty"`
	Verbs  []string `json:"verbs,omitempty"`

	// With any of these the rule is for resources only.
	APIGroups []string `json:"apiGroups,omitempty"`
	// Resources are pods, pods/log, pods/*, */scale or *, as in RBAC.
	Resources  []string `json:"resources,omitempty"`
	Namespaces []string `json:"namespaces,omitempty"`
	Names      []string `json:"names,omitempty"`

	// With Paths the rule is for all else only.
	Paths []string `json:"paths,omitempty"`
}

func (a *authorizationConfig) setDefaults() {
	if a.Rules == nil {
		a.Rules = []authorizationRule{{}}
	}
}

func (a *authorizationConfig) check() error {
	if len(a.Rules) == 0 {
		return errors.New("rules: is empty, so the plugin would never be asked: leave it out or name what to ask it about")
	}
	for i := range a.Rules {
		if err := a.Rules[i].check(); err != nil {
			return fmt.Errorf("rules[%d].%w", i, err)
		}
	}
	var err error
	a.matcher, err = compileAuthorizationConditions(a.MatchConditions)
	return err
}

func (r *authorizationRule) check() error {
	for _, list := range []struct {
		key      string
		patterns []string
	}{
		{"users", r.Users}, {"groups", r.Groups}, {"verbs", r.Verbs}, {"apiGroups", r.APIGroups},
		{"namespaces", r.Namespaces}, {"names", r.Names}, {"paths", r.Paths},
	} {
		if list.patterns != nil && len(list.patterns) == 0 {
			return fmt.Errorf(`%s: is empty, so the rule would match nothing: leave it out, or write ["*"] for all`, list.key)
		}
		for i, pattern := range list.patterns {
			if err := checkPattern(pattern); err != nil {
				return fmt.Errorf("%s[%d]: %w", list.key, i, err)
			}
		}
	}
	if r.Resources != nil && len(r.Resources) == 0 {
		return errors.New(`resources: is empty, so the rule would match nothing: leave it out, or write ["*"] for all`)
	}
	for i, resource := range r.Resources {
		name, subresource, _ := strings.Cut(resource, "/")
		if name == "" || name != "*" && strings.Contains(name, "*") || subresource != "*" && strings.Contains(subresource, "*") {
			return fmt.Errorf("resources[%d]: %q is none of pods, pods/log, pods/*, */scale and *", i, resource)
		}
	}
	if r.forResources() && r.Paths != nil {
		return errors.New("paths: cannot stand beside apiGroups, resources, namespaces or names, since no request has both: make it a rule of its own")
	}
	return nil
}

// checkPattern wants a value, or the beginning of one with a * after it.
func checkPattern(pattern string) error {
	if i := strings.IndexByte(pattern, '*'); i >= 0 && i < len(pattern)-1 {
		return fmt.Errorf("%q has a * that is not at its end", pattern)
	}
	return nil
}

func (r *authorizationRule) forResources() bool {
	return r.APIGroups != nil || r.Resources != nil || r.Namespaces != nil || r.Names != nil
}

// question is what rules look at of a request, taken out of it once for all of them.
type question struct {
	user                                                   string
	groups                                                 []string
	verb, apiGroup, resource, subresource, namespace, name string
	path                                                   string
	forResource                                            bool
}

func questionOf(a authorizer.Attributes) question {
	q := question{verb: a.GetVerb(), forResource: a.IsResourceRequest()}
	if u := a.GetUser(); u != nil {
		q.user, q.groups = u.GetName(), u.GetGroups()
	}
	if !q.forResource {
		q.path = a.GetPath()
		return q
	}
	q.apiGroup, q.resource, q.subresource = a.GetAPIGroup(), a.GetResource(), a.GetSubresource()
	q.namespace, q.name = a.GetNamespace(), a.GetName()
	return q
}

// matchesAnyRule reports whether a plugin with those rules is to be asked.
func matchesAnyRule(rules []authorizationRule, q *question) bool {
	for i := range rules {
		if rules[i].matches(q) {
			return true
		}
	}
	return false
}

func (r *authorizationRule) matches(q *question) bool {
	if !among(r.Verbs, q.verb) || !among(r.Users, q.user) {
		return false
	}
	if q.forResource {
		if r.Paths != nil || !r.matchesResource(q) || !among(r.APIGroups, q.apiGroup) || !among(r.Namespaces, q.namespace) || !among(r.Names, q.name) {
			return false
		}
	} else if r.forResources() || !among(r.Paths, q.path) {
		return false
	}
	return r.matchesGroups(q.groups)
}

func (r *authorizationRule) matchesGroups(groups []string) bool {
	if r.Groups == nil {
		return true
	}
	for _, group := range groups {
		if among(r.Groups, group) {
			return true
		}
	}
	return false
}

func (r *authorizationRule) matchesResource(q *question) bool {
	if r.Resources == nil {
		return true
	}
	for _, wanted := range r.Resources {
		if wanted == "*" {
			return true
		}
		name, sub, hasSub := strings.Cut(wanted, "/")
		if name != "*" && name != q.resource {
			continue
		}
		if sub == q.subresource || hasSub && sub == "*" && q.subresource != "" {
			return true
		}
	}
	return false
}

// among reports whether a pattern matches; no list matches everything.
func among(patterns []string, value string) bool {
	if patterns == nil {
		return true
	}
	for _, pattern := range patterns {
		if matchesPattern(pattern, value) {
			return true
		}
	}
	return false
}

func matchesPattern(pattern, value string) bool {
	if beginning, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(value, beginning)
	}
	return pattern == value
}
