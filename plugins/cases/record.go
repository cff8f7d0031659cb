package cases

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"gatehouse/plugins"
	"gatehouse/plugins/sandbox"
)

// FromRecord makes a case of what a server's plugin called plugin was asked, which wants what became of it there. What is left of a review
// that credentials are hidden in may be answered otherwise.
func FromRecord(plugin string, r *plugins.Record) (Case, error) {
	c := Case{Review: r.Review, Want: Want{Decision: Decision(strings.ReplaceAll(r.Decision, "_", " "))}}
	about, err := describe(r.Review)
	if err != nil {
		return Case{}, fmt.Errorf("read a recorded review: %w", err)
	}
	c.Name = about + " is " + string(c.Want.Decision)
	switch {
	case c.Want.Decision == NoOpinion:
		c.Name = about + " is left to others"
	case c.Want.Decision == Failed:
		c.Name = about + " cannot be decided: " + r.Message
		return c, nil // how it failed may depend on the machine
	case c.Want.Decision == Denied && r.Role == sandbox.Authenticate:
		c.Name = about + " has wrong credentials"
	}
	if r.Hidden {
		c.Name += " (secrets are hidden)"
	}
	if r.Message != "" {
		c.Want.Message = regexp.QuoteMeta(strings.Join(strings.Fields(r.Message), " "))
		if r.Role == sandbox.Admit {
			c.Want.Message = regexp.QuoteMeta(r.Message)
		}
	}
	switch r.Role {
	case sandbox.Authenticate:
		if r.User != nil {
			c.Want.User = &User{Username: r.User.Username, UID: r.User.UID, Groups: r.User.Groups}
			for key, values := range r.User.Extra {
				if c.Want.User.Extra == nil {
					c.Want.User.Extra = map[string][]string{}
				}
				c.Want.User.Extra[key] = values
			}
		}
	case sandbox.Admit:
		return c, c.wantWrite(plugin, r)
	}
	return c, nil
}

// wantWrite wants all that an admission plugin has answered.
func (c *Case) wantWrite(plugin string, r *plugins.Record) error {
	c.Want.Code = r.Code
	for _, text := range r.Warnings {
		c.Want.Warnings = append(c.Want.Warnings, "^"+regexp.QuoteMeta(text)+"$")
	}
	for key, value := range r.Annotations {
		if c.Want.Annotations == nil {
			c.Want.Annotations = map[string]string{}
		}
		c.Want.Annotations[plugin+"/"+key] = value
	}
	if c.Want.Decision != Allowed {
		return nil
	}
	if len(r.Patch) == 0 {
		c.Want.Unchanged = true
		return nil
	}
	var review admissionv1.AdmissionReview
	if err := kjson.UnmarshalCaseSensitivePreserveInts(r.Review, &review); err != nil {
		return err
	}
	patch, err := jsonpatch.DecodePatch(r.Patch)
	if err != nil {
		return fmt.Errorf("read a recorded patch: %w", err)
	}
	patched, err := patch.Apply(review.Request.Object.Raw)
	if err != nil {
		return fmt.Errorf("apply a recorded patch: %w", err)
	}
	var before, after map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(review.Request.Object.Raw, &before); err != nil {
		return err
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(patched, &after); err != nil {
		return err
	}
	c.Want.Object = changes(before, after, "", &c.Want.Absent)
	c.Want.Unchanged = c.Want.Object == nil && c.Want.Absent == nil
	return nil
}

// changes are the members of after that are not in before, and adds to absent the pointers to what is only in before; nil if there are
// none. Lists that differ are wanted whole.
func changes(before, after map[string]any, pointer string, absent *[]string) map[string]any {
	var changed map[string]any
	set := func(key string, value any) {
		if changed == nil {
			changed = map[string]any{}
		}
		changed[key] = value
	}
	for _, key := range sorted(after) {
		old, was := before[key]
		oldMap, oldIsMap := old.(map[string]any)
		newMap, newIsMap := after[key].(map[string]any)
		switch {
		case oldIsMap && newIsMap:
			if inner := changes(oldMap, newMap, pointer+"/"+escape(key), absent); inner != nil {
				set(key, inner)
			}
		case !was || !reflect.DeepEqual(old, after[key]):
			set(key, after[key])
		}
	}
	for _, key := range sorted(before) {
		if _, still := after[key]; !still {
			*absent = append(*absent, pointer+"/"+escape(key))
		}
	}
	return changed
}

// escape makes a name part of a JSON pointer.
func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// describe says in a few words what a review is about.
func describe(review []byte) (string, error) {
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(review, &kind); err != nil {
		return "", err
	}
	switch kind.Kind {
	case "AdmissionReview":
		var about admissionv1.AdmissionReview
		if err := json.Unmarshal(review, &about); err != nil {
			return "", err
		}
		r := about.Request
		return join(string(r.Operation), slashed(r.Kind.Kind, r.SubResource), slashed(r.Namespace, r.Name), "by", r.UserInfo.Username), nil
	case "SubjectAccessReview":
		var about authorizationv1.SubjectAccessReview
		if err := json.Unmarshal(review, &about); err != nil {
			return "", err
		}
		if r := about.Spec.ResourceAttributes; r != nil {
			return join(r.Verb, slashed(r.Resource, r.Subresource), slashed(r.Namespace, r.Name), "by", about.Spec.User), nil
		}
		if r := about.Spec.NonResourceAttributes; r != nil {
			return join(r.Verb, r.Path, "by", about.Spec.User), nil
		}
	case "RequestReview":
		var about requestReview
		if err := json.Unmarshal(review, &about); err != nil {
			return "", err
		}
		return join(about.Spec.Method, about.Spec.Path), nil
	case "TokenReview":
		return "a token", nil
	}
	return "", fmt.Errorf("its kind %q is none that a plugin is asked about", kind.Kind)
}

// slashed joins what is not empty by a slash.
func slashed(parts ...string) string { return strings.Trim(strings.Join(parts, "/"), "/") }

// join joins what is not empty by spaces.
func join(parts ...string) string { return strings.Join(strings.Fields(strings.Join(parts, " ")), " ") }

// YAML writes a case as one of a file of cases.
func (c Case) YAML() ([]byte, error) { return yaml.Marshal([]Case{c}) }
