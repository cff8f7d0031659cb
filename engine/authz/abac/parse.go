package abac

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	internal "k8s.io/kubernetes/pkg/apis/abac"
	"k8s.io/kubernetes/pkg/apis/abac/v1beta1"
	strict "sigs.k8s.io/json"

	"gatehouse/engine/files"
)

// The policies there are.
const (
	kind            = "Policy"
	upstreamVersion = "abac.authorization.kubernetes.io/v1beta1"
	ownVersion      = "authorization.k8s.io/v1"
)

// document is a policy of authorization.k8s.io/v1 as it is written; the package's comment says what it means.
type document struct {
	metav1.TypeMeta `json:",inline"`
	Spec            struct {
		Subjects        []subject  `json:"subjects"`
		Verbs           []string   `json:"verbs"`
		Resources       []resource `json:"resources"`
		Namespaces      []string   `json:"namespaces"`
		NonResourceURLs []string   `json:"nonResourceURLs"`
	} `json:"spec"`
}

type subject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

type resource struct {
	APIGroups     []string `json:"apiGroups"`
	Resources     []string `json:"resources"`
	ResourceNames []string `json:"resourceNames"`
}

// Parse reads the content of a file of policies. Its errors tell lines by files.AtLine.
func Parse(content []byte) (*Policies, error) {
	parsed := &Policies{}
	for rest, line := content, 1; ; {
		rest, line = skip(rest, line)
		if len(rest) == 0 {
			return parsed, nil
		}
		value, size, err := next(rest, line)
		if err != nil {
			return nil, err
		}
		if err := parsed.add(value, line); err != nil {
			return nil, files.AtLine(line, err)
		}
		line += bytes.Count(rest[:size], []byte("\n"))
		rest = rest[size:]
	}
}

// skip passes over empty lines and comments, and returns what begins with a policy, and its line.
func skip(rest []byte, line int) ([]byte, int) {
	for len(rest) > 0 {
		first, others, _ := bytes.Cut(rest, []byte("\n"))
		if first = bytes.TrimSpace(first); len(first) > 0 && first[0] != '#' {
			break
		}
		rest, line = others, line+1
	}
	return rest, line
}

// next is the JSON value that rest begins with, and how much of rest its lines take, but for the last end of line.
func next(rest []byte, line int) (json.RawMessage, int, error) {
	decoder := json.NewDecoder(bytes.NewReader(rest))
	var value json.RawMessage
	if err := decoder.Decode(&value); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, 0, files.AtLine(line, errors.New("the policy that begins here does not end"))
		}
		var wrong *json.SyntaxError
		if errors.As(err, &wrong) {
			line += bytes.Count(rest[:min(int(wrong.Offset), len(rest))], []byte("\n"))
		}
		return nil, 0, files.AtLine(line, fmt.Errorf("not JSON: %w", err))
	}
	end := int(decoder.InputOffset())
	behind, _, _ := bytes.Cut(rest[end:], []byte("\n"))
	if len(bytes.TrimSpace(behind)) > 0 {
		line += bytes.Count(rest[:end], []byte("\n"))
		return nil, 0, files.AtLine(line, errors.New("something follows the policy; begin a line with each"))
	}
	return value, end + len(behind), nil
}

// add takes in the policy that begins on a line.
func (p *Policies) add(value []byte, line int) error {
	var is metav1.TypeMeta
	if err := json.Unmarshal(value, &is); err != nil {
		return fmt.Errorf("not a policy: %w", err)
	}
	switch {
	case is.APIVersion == "" || is.Kind == "":
		return fmt.Errorf(`no apiVersion or no kind, want kind %q, and apiVersion %q or %q`, kind, ownVersion, upstreamVersion)
	case is.Kind != kind:
		return fmt.Errorf("kind is %q, want %q", is.Kind, kind)
	case is.APIVersion == upstreamVersion:
		return p.addUpstream(value)
	case is.APIVersion == ownVersion:
		return p.addOwn(value, line)
	default:
		return fmt.Errorf("apiVersion is %q, want %q or %q", is.APIVersion, ownVersion, upstreamVersion)
	}
}

func (p *Policies) addUpstream(value []byte) error {
	var written v1beta1.Policy
	if err := decode(value, &written); err != nil {
		return err
	}
	policy := &internal.Policy{}
	if err := internal.Scheme.Convert(&written, policy, nil); err != nil {
		return fmt.Errorf("convert the policy: %w", err)
	}
	p.upstream = append(p.upstream, policy)
	return nil
}

func (p *Policies) addOwn(value []byte, line int) error {
	var written document
	if err := decode(value, &written); err != nil {
		return err
	}
	if err := written.check(); err != nil {
		return err
	}
	one := written.policy()
	one.line = line
	p.own = append(p.own, one)
	return nil
}

// decode refuses fields that do not exist, or stand twice.
func decode(value []byte, into any) error {
	mistakes, err := strict.UnmarshalStrict(value, into)
	if err == nil {
		err = errors.Join(mistakes...)
	}
	if err != nil {
		return fmt.Errorf("not a policy: %w", err)
	}
	return nil
}

// check finds what would make a policy mean nothing, or something else than its author thinks.
func (d *document) check() error {
	spec := &d.Spec
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	named := func(field string, texts []string) {
		if len(texts) == 0 || slices.Contains(texts, "") {
			fail("%s is empty or has an empty item, want one name at least, or *", field)
		}
	}
	if len(spec.Subjects) == 0 {
		fail("spec.subjects is empty, want whom the policy is about")
	}
	for i := range spec.Subjects {
		if err := spec.Subjects[i].check(); err != nil {
			fail("spec.subjects[%d]: %w", i, err)
		}
	}
	named("spec.verbs", spec.Verbs)
	for i, r := range spec.Resources {
		if len(r.APIGroups) == 0 {
			fail(`spec.resources[%d].apiGroups is missing, want one at least: "" is the group of pods and services, * is all`, i)
		}
		named(fmt.Sprintf("spec.resources[%d].resources", i), r.Resources)
		if slices.Contains(r.ResourceNames, "") {
			fail("spec.resources[%d].resourceNames has an empty name", i)
		}
	}
	if len(spec.Resources) == 0 && len(spec.NonResourceURLs) == 0 {
		fail("neither spec.resources nor spec.nonResourceURLs, want what may be done something with")
	}
	if spec.Namespaces != nil {
		named("spec.namespaces", spec.Namespaces)
		if len(spec.Resources) == 0 {
			fail("spec.namespaces without spec.resources: what spec.nonResourceURLs is about is in no namespace")
		}
	}
	if spec.NonResourceURLs != nil {
		named("spec.nonResourceURLs", spec.NonResourceURLs)
	}
	return errors.Join(errs...)
}

func (s *subject) check() error {
	switch {
	case s.Name == "":
		return errors.New("no name")
	case s.Kind == rbacv1.UserKind || s.Kind == rbacv1.GroupKind:
		if s.Namespace != "" {
			return fmt.Errorf("a %s is in no namespace, leave it out", s.Kind)
		}
		return nil
	case s.Kind != rbacv1.ServiceAccountKind:
		return fmt.Errorf("kind is %q, want User, Group or ServiceAccount", s.Kind)
	case s.Namespace == "":
		return errors.New("a ServiceAccount needs its namespace")
	case s.Name == "*":
		return fmt.Errorf(`no ServiceAccount is called *, want {"kind":"Group","name":"system:serviceaccounts:%s"} for all of them`, s.Namespace)
	default:
		return nil
	}
}

// policy is what a document that was checked means.
func (d *document) policy() policy {
	spec := &d.Spec
	p := policy{everywhere: spec.Namespaces == nil || slices.Contains(spec.Namespaces, "*"), namespaces: spec.Namespaces}
	for _, s := range spec.Subjects {
		switch {
		case s.Kind == rbacv1.ServiceAccountKind:
			p.users = append(p.users, serviceAccount(s.Namespace, s.Name))
		case s.Name == "*":
			p.groups = append(p.groups, everybody)
		case s.Kind == rbacv1.GroupKind:
			p.groups = append(p.groups, s.Name)
		default:
			p.users = append(p.users, s.Name)
		}
	}
	for _, r := range spec.Resources {
		p.resources = append(p.resources, rbacv1.PolicyRule{
			Verbs: spec.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames,
		})
	}
	if len(spec.NonResourceURLs) > 0 {
		p.nonResourceURLs = []rbacv1.PolicyRule{{Verbs: spec.Verbs, NonResourceURLs: spec.NonResourceURLs}}
	}
	return p
}
