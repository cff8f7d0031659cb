package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"
)

const (
	definitionPrefix = "#/definitions/"
	parameterPrefix  = "#/parameters/"
)

// prune removes the shared parameters and the definitions that no operation refers to, directly or through others.
func prune(swagger *spec.Swagger) error {
	names, err := references(parameterPrefix, swagger.Paths)
	if err != nil {
		return err
	}
	parameters := map[string]spec.Parameter{}
	for _, name := range names {
		parameter, ok := swagger.Parameters[name]
		if !ok {
			return fmt.Errorf("parameter %s is referred to but missing", name)
		}
		parameters[name] = parameter
	}
	swagger.Parameters = parameters

	pending, err := references(definitionPrefix, swagger.Paths, swagger.Parameters)
	if err != nil {
		return err
	}
	definitions := spec.Definitions{}
	for len(pending) > 0 {
		name := pending[0]
		pending = pending[1:]
		if _, seen := definitions[name]; seen {
			continue
		}
		definition, ok := swagger.Definitions[name]
		if !ok {
			return fmt.Errorf("definition %s is referred to but missing", name)
		}
		definitions[name] = definition
		more, err := references(definitionPrefix, definition)
		if err != nil {
			return err
		}
		pending = append(pending, more...)
	}
	swagger.Definitions = definitions
	return nil
}

// references lists the names that parts of a document refer to with this prefix; a name may come more than once.
func references(prefix string, parts ...any) ([]string, error) {
	text, err := json.Marshal(parts)
	if err != nil {
		return nil, err
	}
	var parsed any
	if err := json.Unmarshal(text, &parsed); err != nil {
		return nil, err
	}
	var names []string
	var visit func(any)
	visit = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			if ref, ok := value["$ref"].(string); ok {
				if name, ok := strings.CutPrefix(ref, prefix); ok {
					names = append(names, name)
				}
			}
			for _, child := range value {
				visit(child)
			}
		case []any:
			for _, child := range value {
				visit(child)
			}
		}
	}
	visit(parsed)
	return names, nil
}
