package plugins

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"gatehouse/plugins/capability"
	"gatehouse/plugins/sandbox"
	"gatehouse/plugins/signature"
)

// phase is one of the two times a write is looked at.
type phase string

const (
	// mutate comes first: patches are applied, in the plugins' order.
	mutate phase = "mutate"
	// validate comes last, when the object is what will be stored.
	validate phase = "validate"
)

// failurePolicy says what a plugin's failure means for the request.
type failurePolicy string

const (
	fail   failurePolicy = "Fail"
	ignore failurePolicy = "Ignore"
)

// manifest is what name.yaml holds. Each field may be left out.
type manifest struct {
	// Description is for people.
	Description string `json:"description,omitempty"`
	// Roles are those in which the plugin is asked, of those that the module exports; all when left out.
	Roles []sandbox.Role `json:"roles,omitempty"`
	// Authentication says when the role authenticate is asked, and whom it may name.
	Authentication *authenticationConfig `json:"authentication,omitempty"`
	// Authorization says when the role authorize is asked.
	Authorization *authorizationConfig `json:"authorization,omitempty"`
	// Admission says when the role admit is asked.
	Admission *admissionConfig `json:"admission,omitempty"`
	// Settings is a JSON object, handed to the guest's configure as it is.
	Settings json.RawMessage `json:"settings,omitempty"`
	// Capabilities are what it may ask of the server; nothing when left out.
	Capabilities capability.Grants `json:"capabilities,omitempty"`
	// Limits replaces some of the server's.
	Limits limitsConfig `json:"limits,omitempty"`
	// FailurePolicy is Fail or Ignore; Fail when left out.
	FailurePolicy failurePolicy `json:"failurePolicy,omitempty"`
	// SHA256 is the hash that the module must have, in hexadecimal digits; any when left out.
	SHA256 string `json:"sha256,omitempty"`
	// PublicKey is that of the key which must have signed the module; publicKey is the same, once it has been read.
	PublicKey string `json:"publicKey,omitempty"`
	publicKey *signature.PublicKey

	// shown is the manifest as JSON without limits and secrets, settingNames what settings there are.
	shown        []byte
	settingNames []string
}

// admissionConfig is a webhook's matching, as in ValidatingWebhookConfiguration.
type admissionConfig struct {
	// Phases are when the plugin is asked; both when left out.
	Phases []phase `json:"phases,omitempty"`
	// Rules are what it is asked about; defaultRules when left out.
	Rules []admissionregistrationv1.RuleWithOperations `json:"rules,omitempty"`
	// unruled is set if they were left out.
	unruled bool
	// MatchPolicy is Exact or Equivalent; Equivalent when left out, so that a rule cannot be evaded through another version.
	MatchPolicy admissionregistrationv1.MatchPolicyType `json:"matchPolicy,omitempty"`
	// NamespaceSelector and ObjectSelector select by labels; everything when left out. selectors is both, once they have been read.
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	ObjectSelector    *metav1.LabelSelector `json:"objectSelector,omitempty"`
	selectors         selectors
	// MatchConditions are CEL expressions, all of which must be true. matcher evaluates them; nil when there are none.
	MatchConditions []admissionregistrationv1.MatchCondition `json:"matchConditions,omitempty"`
	matcher         matchconditions.Matcher
}

// limitsConfig are a plugin's own limits.
type limitsConfig struct {
	Memory    resource.Quantity `json:"memory,omitempty"`
	Output    resource.Quantity `json:"output,omitempty"`
	Deadline  metav1.Duration   `json:"deadline,omitempty"`
	Start     metav1.Duration   `json:"start,omitempty"`
	Instances int               `json:"instances,omitempty"`
}

// parseManifest reads name.yaml; empty data is a manifest of defaults. Errors name the key.
func parseManifest(data []byte) (*manifest, error) {
	asJSON, err := jsonOf(data)
	if err != nil {
		return nil, err
	}
	return decodeManifest(asJSON)
}

// jsonOf is YAML, which may be empty, as JSON.
func jsonOf(text []byte) ([]byte, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return []byte("{}"), nil
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("is no YAML: %s", oneLine(err))
	}
	return asJSON, nil
}

// decodeManifest reads name.yaml in JSON and completes it.
func decodeManifest(asJSON []byte) (*manifest, error) {
	m := &manifest{}
	unknown, err := kjson.UnmarshalStrict(asJSON, m)
	if err != nil {
		return nil, errors.New(oneLine(err))
	}
	if len(unknown) > 0 {
		return nil, errors.New(oneLine(errors.Join(unknown...)))
	}
	m.setDefaults()
	if err := m.check(); err != nil {
		return m, err
	}
	return m, m.show()
}

func (m *manifest) setDefaults() {
	if m.Authentication == nil {
		m.Authentication = &authenticationConfig{}
	}
	m.Authentication.setDefaults()
	if m.Authorization == nil {
		m.Authorization = &authorizationConfig{}
	}
	m.Authorization.setDefaults()
	if m.Admission == nil {
		m.Admission = &admissionConfig{}
	}
	if len(m.Admission.Phases) == 0 {
		m.Admission.Phases = []phase{mutate, validate}
	}
	if m.Admission.Rules == nil {
		m.Admission.Rules, m.Admission.unruled = defaultRules(), true
	}
	if m.Admission.MatchPolicy == "" {
		m.Admission.MatchPolicy = admissionregistrationv1.Equivalent
	}
	if m.FailurePolicy == "" {
		m.FailurePolicy = fail
	}
	if string(m.Settings) == "null" {
		m.Settings = nil
	}
}

// defaultRules are every write of every resource, but not of subresources: a policy for Pods would hardly know what to make
// of a Binding or of a kubelet's status update.
func defaultRules() []admissionregistrationv1.RuleWithOperations {
	return []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{
			admissionregistrationv1.Create, admissionregistrationv1.Update, admissionregistrationv1.Delete},
		Rule: admissionregistrationv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*"}},
	}}
}

// everyRule is every write there is.
func everyRule() []admissionregistrationv1.RuleWithOperations {
	return []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"}},
	}}
}

// withoutAuthor is an operator's manifest as long as it is not known what the module's author says. If neither have said which writes
// concern the plugin, these can be any: an author may have named subresources, which defaultRules lack.
func (m *manifest) withoutAuthor() *manifest {
	if !m.Admission.unruled {
		return m
	}
	other, admission := *m, *m.Admission
	admission.Rules = everyRule()
	other.Admission = &admission
	_ = other.show() // as m could be
	return &other
}

// unknownManifest stands for a name.yaml that cannot be read: nobody knows what it would have let pass, so it concerns every
// request there is.
func unknownManifest() *manifest {
	m := &manifest{Admission: &admissionConfig{Rules: everyRule()}}
	m.setDefaults()
	_ = m.show() // there are neither settings nor capabilities that could keep it from being written
	m.Admission.selectors = selectors{labels.Everything(), labels.Everything()}
	return m
}

func (m *manifest) check() error {
	for i, role := range m.Roles {
		if !slices.Contains(allRoles(), role) || slices.Contains(m.Roles[:i], role) {
			return fmt.Errorf("roles[%d]: %q is none of authenticate, authorize, admit, or stands twice", i, role)
		}
	}
	if err := m.Authentication.check(); err != nil {
		return fmt.Errorf("authentication.%w", err)
	}
	if err := m.Authorization.check(); err != nil {
		return fmt.Errorf("authorization.%w", err)
	}
	if err := m.checkAdmission(); err != nil {
		return err
	}
	if err := m.checkTrust(); err != nil {
		return err
	}
	return m.checkRest()
}

func (m *manifest) checkAdmission() error {
	for i, p := range m.Admission.Phases {
		if p != mutate && p != validate {
			return fmt.Errorf("admission.phases[%d]: %q is neither mutate nor validate", i, p)
		}
	}
	if len(m.Admission.Rules) == 0 {
		return errors.New("admission.rules: is empty, so the plugin would never be asked: leave it out or name what to ask it about")
	}
	for i, rule := range m.Admission.Rules {
		if err := checkRule(rule); err != nil {
			return fmt.Errorf("admission.rules[%d].%w", i, err)
		}
	}
	switch m.Admission.MatchPolicy {
	case admissionregistrationv1.Exact, admissionregistrationv1.Equivalent:
	default:
		return fmt.Errorf("admission.matchPolicy: %q is neither Exact nor Equivalent", m.Admission.MatchPolicy)
	}
	if err := m.Admission.compile(); err != nil {
		return fmt.Errorf("admission.%w", err)
	}
	return nil
}

// compile reads what is written in languages of their own.
func (a *admissionConfig) compile() (err error) {
	if a.selectors.namespaces, err = parseSelector(a.NamespaceSelector, "namespaceSelector"); err != nil {
		return err
	}
	if a.selectors.objects, err = parseSelector(a.ObjectSelector, "objectSelector"); err != nil {
		return err
	}
	if a.matcher, err = compileConditions(a.MatchConditions, plugincel.OptionalVariableDeclarations{HasAuthorizer: true}); err != nil {
		return fmt.Errorf("matchConditions%w", err)
	}
	return nil
}

// checkRest checks what concerns all roles.
func (m *manifest) checkRest() error {
	if m.FailurePolicy != fail && m.FailurePolicy != ignore {
		return fmt.Errorf("failurePolicy: %q is neither Fail nor Ignore", m.FailurePolicy)
	}
	if len(m.Settings) > 0 && m.Settings[0] != '{' {
		return errors.New("settings: must be a mapping of names to values")
	}
	if err := m.Capabilities.Check(); err != nil {
		return fmt.Errorf("capabilities.%w", err)
	}
	return m.Limits.check()
}

func checkRule(rule admissionregistrationv1.RuleWithOperations) error {
	known := []admissionregistrationv1.OperationType{
		admissionregistrationv1.OperationAll, admissionregistrationv1.Create, admissionregistrationv1.Update,
		admissionregistrationv1.Delete, admissionregistrationv1.Connect}
	for i, op := range rule.Operations {
		if !slices.Contains(known, op) {
			return fmt.Errorf("operations[%d]: %q is none of *, CREATE, UPDATE, DELETE, CONNECT", i, op)
		}
	}
	for _, list := range []struct {
		key   string
		empty bool
		hint  string
	}{
		{"operations", len(rule.Operations) == 0, `["*"] means every operation`},
		{"apiGroups", len(rule.APIGroups) == 0, `[""] means the core group, ["*"] every group`},
		{"apiVersions", len(rule.APIVersions) == 0, `["*"] means every version`},
		{"resources", len(rule.Resources) == 0, `["*"] means every resource, ["*/*"] subresources too`},
	} {
		if list.empty {
			return fmt.Errorf("%s: is missing; %s", list.key, list.hint)
		}
	}
	if rule.Scope != nil && !slices.Contains([]admissionregistrationv1.ScopeType{admissionregistrationv1.AllScopes,
		admissionregistrationv1.ClusterScope, admissionregistrationv1.NamespacedScope}, *rule.Scope) {
		return fmt.Errorf("scope: %q is none of *, Cluster, Namespaced", *rule.Scope)
	}
	return nil
}

func (l limitsConfig) check() error {
	const page = 64 << 10
	switch {
	case !l.Memory.IsZero() && l.Memory.Value() < page:
		return fmt.Errorf("limits.memory: %s is less than one page of 64Ki", l.Memory.String())
	case l.Memory.Value() > 4<<30:
		return fmt.Errorf("limits.memory: %s is more than the 4Gi a guest can address", l.Memory.String())
	case l.Output.Value() < 0:
		return fmt.Errorf("limits.output: %s is negative", l.Output.String())
	case l.Deadline.Duration < 0 || l.Deadline.Duration > time.Minute:
		return fmt.Errorf("limits.deadline: %s is not between 0 and 1m", l.Deadline.Duration)
	case l.Start.Duration < 0 || l.Start.Duration > time.Minute:
		return fmt.Errorf("limits.start: %s is not between 0 and 1m", l.Start.Duration)
	case l.Instances < 0 || l.Instances > 1000:
		return fmt.Errorf("limits.instances: %d is not between 0 and 1000", l.Instances)
	}
	return nil
}

// limits are the sandbox's, with zeros where the manifest leaves the choice to the server.
func (m *manifest) limits() sandbox.Limits {
	return sandbox.Limits{
		Memory:    m.Limits.Memory.Value(),
		Output:    m.Limits.Output.Value(),
		Deadline:  m.Limits.Deadline.Duration,
		Start:     m.Limits.Start.Duration,
		Instances: m.Limits.Instances,
	}
}

// oneLine makes an error of a parser fit for a status.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
