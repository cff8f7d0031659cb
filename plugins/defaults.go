package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"gatehouse/plugins/capability"
	"gatehouse/plugins/internal/binary"
	"gatehouse/plugins/kubewarden"
	"gatehouse/plugins/rego"
	"gatehouse/plugins/sandbox"
)

const (
	// DefaultsSection is the custom section of a module that holds its author's defaults, in YAML or JSON. A later version of what it holds
	// has another name.
	DefaultsSection = "gatehouse_plugin_v1"
	// maxDefaults bounds it, in bytes, and maxWants how many things an author can want.
	maxDefaults = 64 << 10
	maxWants    = 100
)

// defaults are what a module's author says of its configuration. They do not change.
type defaults struct {
	// section is where they stand.
	section string
	// members are those of name.yaml that they set, in JSON, by key.
	members map[string]json.RawMessage
	// wants are capabilities that the author would like the plugin to be granted.
	wants capability.Grants
	// text is what the section says, for people: YAML.
	text []byte
}

// authored are the keys that are an author's to set. They are those of manifest that say what the plugin is asked about, and none that
// give it anything: capabilities, names, limits, and what its failure means, are its operator's.
type authored struct {
	Description    string                  `json:"description,omitempty"`
	Roles          []sandbox.Role          `json:"roles,omitempty"`
	Authentication *authoredAuthentication `json:"authentication,omitempty"`
	Authorization  *authorizationConfig    `json:"authorization,omitempty"`
	Admission      *admissionConfig        `json:"admission,omitempty"`
	Settings       json.RawMessage         `json:"settings,omitempty"`
	// Wants has the form of capabilities, and grants nothing.
	Wants *capability.Grants `json:"wants,omitempty"`
}

// authoredAuthentication is authenticationConfig without whom the plugin may name.
type authoredAuthentication struct {
	Tokens   *bool           `json:"tokens,omitempty"`
	Requests *requestsConfig `json:"requests,omitempty"`
}

// operatorsKeys are the others of name.yaml.
func operatorsKeys() []string {
	return []string{"capabilities", "limits", "failurePolicy", "sha256", "publicKey"}
}

// keyedSections are the keys of which each member is a key of its own: the operator's takes the place of the author's of that name alone.
func keyedSections() []string {
	return []string{"authentication", "authorization", "admission", "settings"}
}

// readDefaults reads what a module's author says; nil for nothing, and for what is no module. The error names section and key.
func readDefaults(wasm []byte) (*defaults, error) {
	outline, err := binary.Read(wasm)
	if err != nil {
		return nil, nil // the sandbox finds the same, and says more
	}
	metadata, err := readMetadata(outline)
	if err != nil {
		return nil, err
	}
	sections := outline.CustomAll(DefaultsSection)
	switch {
	case len(sections) > 1:
		return nil, fmt.Errorf("the section %s is there %d times: leave one in the module", DefaultsSection, len(sections))
	case len(sections) == 1:
		d, err := parseDefaults(sections[0])
		if err != nil {
			return nil, fmt.Errorf("the module's section %s: %w", DefaultsSection, err)
		}
		return d, nil
	case metadata != nil:
		d, err := defaultsOfMetadata(metadata)
		if err != nil {
			return nil, fmt.Errorf("the module's section %s: %w", kubewarden.MetadataSection, err)
		}
		return d, nil
	}
	return nil, nil
}

// readMetadata reads the metadata of Kubewarden's policies, which those in Rego may have as well; nil for none.
func readMetadata(outline *binary.Module) (*kubewarden.Metadata, error) {
	if !kubewarden.Detect(outline) && !rego.Detect(outline) {
		return nil, nil
	}
	return kubewarden.ReadMetadata(outline)
}

// CheckDefaults reports what keeps a text from being a module's section DefaultsSection. The error names the key.
func CheckDefaults(text []byte) error {
	_, err := parseDefaults(text)
	return err
}

// parseDefaults reads the section.
func parseDefaults(text []byte) (*defaults, error) {
	if len(text) > maxDefaults {
		return nil, fmt.Errorf("it has %d bytes, more than %d KiB", len(text), maxDefaults>>10)
	}
	asJSON, err := jsonOf(text)
	if err != nil {
		return nil, err
	}
	return newDefaults(DefaultsSection, asJSON)
}

// defaultsOfMetadata are those that a policy has been given for Kubewarden.
func defaultsOfMetadata(metadata *kubewarden.Metadata) (*defaults, error) {
	a := authored{Description: metadata.Description()}
	var admission admissionConfig
	for _, rule := range metadata.Rules {
		one := admissionregistrationv1.RuleWithOperations{Rule: admissionregistrationv1.Rule{
			APIGroups: rule.APIGroups, APIVersions: rule.APIVersions, Resources: rule.Resources}}
		for _, operation := range rule.Operations {
			one.Operations = append(one.Operations, admissionregistrationv1.OperationType(operation))
		}
		admission.Rules = append(admission.Rules, one)
	}
	if metadata.NeverMutates() {
		admission.Phases = []phase{validate}
	}
	if len(admission.Rules)+len(admission.Phases) > 0 {
		a.Admission = &admission
	}
	if len(metadata.ContextAwareResources) > 0 {
		a.Wants = &capability.Grants{Kubernetes: &capability.KubernetesGrant{}}
		for _, kind := range metadata.ContextAwareResources {
			a.Wants.Kubernetes.Objects = append(a.Wants.Kubernetes.Objects, capability.ObjectsGrant{APIVersion: kind.APIVersion, Kind: kind.Kind})
		}
	}
	asJSON, err := json.Marshal(&a)
	if err != nil {
		return nil, fmt.Errorf("read what the author says: %w", err)
	}
	d, err := newDefaults(kubewarden.MetadataSection, asJSON)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "admission.")) // there the rules stand at the top
	}
	return d, nil
}

// newDefaults takes what an author says, and checks that a plugin could be run with it.
func newDefaults(section string, asJSON []byte) (*defaults, error) {
	d := &defaults{section: section}
	if json.Unmarshal(asJSON, &d.members) != nil {
		return nil, errors.New("is no mapping of keys to values")
	}
	if err := checkAuthor(d.members); err != nil {
		return nil, err
	}
	var a authored
	unknown, err := kjson.UnmarshalStrict(asJSON, &a)
	if err = errors.Join(append(unknown, err)...); err != nil {
		return nil, errors.New(oneLine(err))
	}
	delete(d.members, "wants")
	if a.Wants != nil {
		d.wants = *a.Wants
	}
	if wanted := d.wants.Beyond(capability.Grants{}); len(wanted) > maxWants {
		return nil, fmt.Errorf("wants: has %d things, more than %d", len(wanted), maxWants)
	}
	if _, err := d.under(nil); err != nil {
		return nil, err
	}
	if a.Admission != nil {
		// To hear what a user may do is the capability authz.canI, and capabilities are not the author's to give.
		if _, err := compileConditions(a.Admission.MatchConditions, plugincel.OptionalVariableDeclarations{}); err != nil {
			return nil, fmt.Errorf("admission.matchConditions%w (an author's expressions have no authorizer)", err)
		}
	}
	if d.text, err = yaml.JSONToYAML(asJSON); err != nil {
		return nil, errors.New(oneLine(err))
	}
	return d, nil
}

// checkAuthor tells an author that a key is the operator's, rather than that there is none of that name.
func checkAuthor(says members) error {
	for _, key := range operatorsKeys() {
		if _, ok := says[key]; ok && key == "capabilities" {
			return errors.New("capabilities: are the operator's to grant: say under wants what the plugin would like")
		} else if ok {
			return fmt.Errorf("%s: is the operator's to say, in NAME%s", key, manifestSuffix)
		}
	}
	var authentication members
	if json.Unmarshal(says["authentication"], &authentication) == nil && authentication["systemNames"] != nil {
		return fmt.Errorf("authentication.systemNames: is the operator's to say, in NAME%s", manifestSuffix)
	}
	return nil
}

// members are a JSON object's, by key.
type members = map[string]json.RawMessage

// under is the configuration of a plugin whose operator says raw, which may be empty, with what the author says wherever the operator says
// nothing. d may be nil.
func (d *defaults) under(raw []byte) (*manifest, error) {
	if d == nil {
		return parseManifest(raw)
	}
	asJSON, err := jsonOf(raw)
	if err != nil {
		return nil, err
	}
	var operators members
	if err := json.Unmarshal(asJSON, &operators); err != nil {
		return nil, errors.New(oneLine(err))
	}
	merged, err := json.Marshal(overlay(d.members, operators))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return decodeManifest(merged)
}

// overlay is the author's members with those of the operator in the place of theirs. A null is something to say as well: it leaves the key
// to the server.
func overlay(author, operators members) members {
	merged := members{}
	for key, value := range author {
		merged[key] = value
	}
	for key, value := range operators {
		var ofAuthor, ofOperator members
		if slices.Contains(keyedSections(), key) && json.Unmarshal(author[key], &ofAuthor) == nil &&
			json.Unmarshal(value, &ofOperator) == nil && ofOperator != nil {
			for inner, of := range ofOperator {
				if ofAuthor == nil {
					ofAuthor = members{}
				}
				ofAuthor[inner] = of
			}
			value, _ = json.Marshal(ofAuthor) // it has just been read
		}
		merged[key] = value
	}
	return merged
}

// ungranted are the capabilities that the author would like and the configuration does not grant, each by its key.
func (d *defaults) ungranted(m *manifest) []string {
	if d == nil {
		return nil
	}
	return d.wants.Beyond(m.Capabilities)
}
