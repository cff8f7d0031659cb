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
// leaves to defaults. limits are the server's. The error says which key is wrong.
func Configuration(data []byte, limits sandbox.Limits) ([]byte, error) {
	m, err := parseManifest(data)
	if err != nil {
		return nil, err
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
