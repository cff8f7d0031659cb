package plugins

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"gatehouse/plugins/sandbox"
)

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
