package plugins

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"gatehouse/plugins/capability"
	"gatehouse/plugins/sandbox"
)

// show prepares what users of the server get to see of the manifest. Settings may hold secrets, of which nobody but the plugin knows
// which they are, and a key set may hold private keys by mistake: neither is shown.
func (m *manifest) show() error {
	var settings map[string]json.RawMessage
	if len(m.Settings) > 0 {
		if err := json.Unmarshal(m.Settings, &settings); err != nil {
			return fmt.Errorf("settings: %w", err)
		}
	}
	m.settingNames = slices.Sorted(maps.Keys(settings))
	shown := *m
	shown.Settings = nil
	if crypto := shown.Capabilities.Crypto; crypto != nil && crypto.VerifyJWT != nil {
		tokens := *crypto.VerifyJWT
		tokens.Issuers = slices.Clone(tokens.Issuers)
		for i := range tokens.Issuers {
			tokens.Issuers[i].JWKS = json.RawMessage(`"(not shown)"`)
		}
		shown.Capabilities.Crypto = &capability.CryptoGrant{VerifyJWT: &tokens, VerifyCert: crypto.VerifyCert}
	}
	data, err := json.Marshal(&shown)
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	delete(members, "limits") // those that count are the server's as well
	m.shown, err = json.Marshal(members)
	return err
}

// Configuration reads a plugin's YAML, which may be empty, and returns it complete: with the rules, the limits and all else that it
// leaves to its module's author and to defaults. module is nil for one of which nothing is known; limits are the server's. The error says
// which key is wrong.
func Configuration(module, data []byte, limits sandbox.Limits) ([]byte, error) {
	m, err := parseManifest(data)
	if err != nil {
		return nil, err
	}
	author, err := readDefaults(module)
	if err != nil {
		return nil, err
	}
	if author != nil {
		if m, err = author.under(data); err != nil {
			return nil, fmt.Errorf("it does not go with the module's section %s: %w", author.section, err)
		}
	}
	effective := m.limits().Or(limits).Or(sandbox.DefaultLimits())
	m.Limits = limitsConfig{
		Memory:    *resource.NewQuantity(effective.Memory, resource.BinarySI),
		Output:    *resource.NewQuantity(effective.Output, resource.BinarySI),
		Deadline:  metav1.Duration{Duration: effective.Deadline},
		Start:     metav1.Duration{Duration: effective.Start},
		Instances: effective.Instances,
	}
	complete, err := yaml.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	return complete, nil
}

// Author is what a module's author says of its configuration.
type Author struct {
	// Section is the custom section in which it stands; empty if the author says nothing.
	Section string
	// YAML is what it says, Wants which capabilities it would like, as in Status.Wants.
	YAML  []byte
	Wants []string
}

// ReadAuthor reads it from a module. The error says what keeps a server from loading the module.
func ReadAuthor(module []byte) (Author, error) {
	d, err := readDefaults(module)
	if err != nil || d == nil {
		return Author{}, err
	}
	return Author{Section: d.section, YAML: d.text, Wants: d.wants.Beyond(capability.Grants{})}, nil
}
