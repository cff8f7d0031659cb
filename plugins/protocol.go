package plugins

import (
	"fmt"

	"gatehouse/plugins/internal/binary"
	"gatehouse/plugins/kubewarden"
	"gatehouse/plugins/rego"
	"gatehouse/plugins/sandbox"
)

// protocolOf is how a module wants to be spoken to; nil for the ABI of sdk/SPEC.md, which also answers for modules that are
// none. operations are what the plugin may call, m its configuration.
func (s *Set) protocolOf(wasm []byte, m *manifest, operations map[string]sandbox.Operation) (sandbox.Protocol, error) {
	outline, err := binary.Read(wasm)
	if err != nil {
		return nil, nil // the sandbox finds the same, and says more
	}
	switch {
	case rego.Detect(outline):
		options := rego.Options{Operations: operations}
		inventory, err := s.options.Capabilities.Inventory(m.Capabilities)
		if err != nil {
			return nil, fmt.Errorf("capabilities.%w", err)
		}
		if inventory != nil {
			options.Inventory = inventory
		}
		return rego.New(outline, options), nil
	case kubewarden.Detect(outline):
		return kubewarden.New(outline, kubewarden.Options{Operations: operations})
	}
	return nil, nil
}
