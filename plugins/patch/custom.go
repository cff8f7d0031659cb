package patch

import (
	"unicode/utf8"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"
)

// directCustom is direct for objects that hold their JSON as a map. Nothing of a value is hidden there, so that only its spelling
// has to be remembered.
func directCustom(object *unstructured.Unstructured, all []operation) (result runtime.Object, changed, sure bool) {
	if !steadyTree(object.Object) || object.Object == nil {
		return nil, false, false
	}
	copied := object.DeepCopy()
	var done history
	for i := range all {
		o := &all[i]
		if !done.allows(o) {
			return nil, false, false
		}
		tree, ok := change(copied.Object, o.tokens, o)
		if !ok {
			return nil, false, false
		}
		copied.Object = tree.(map[string]any)
		if o.kind != test {
			done.note(written{path: o.path})
			if _, element := index(o.last()); element || o.last() == "-" { // others may have moved
				done.note(written{path: o.parent()})
			}
		}
	}
	return copied, !apiequality.Semantic.DeepEqual(object, copied), true
}

// steadyTree reports whether JSON comes back as it is.
func steadyTree(node any) bool {
	switch node := node.(type) {
	case nil, bool, int64:
		return true
	case string:
		return utf8.ValidString(node)
	case map[string]any:
		for key, member := range node {
			if !utf8.ValidString(key) || !steadyTree(member) {
				return false
			}
		}
		return node != nil
	case []any:
		for _, element := range node {
			if !steadyTree(element) {
				return false
			}
		}
		return node != nil
	}
	return false // numbers with a fraction, and what no decoder makes
}

// change returns node with an operation applied to what is at tokens below it; ok is false where that is not sure.
func change(node any, tokens []string, o *operation) (changed any, ok bool) {
	if len(tokens) == 1 {
		switch node := node.(type) {
		case map[string]any:
			return node, changeMember(node, o)
		case []any:
			return changeElement(node, o)
		}
		return nil, false
	}
	switch node := node.(type) {
	case map[string]any:
		if node[tokens[0]], ok = changeBelow(node[tokens[0]], tokens, o); !ok {
			return nil, false
		}
		return node, true
	case []any:
		i, ok := index(tokens[0])
		if !ok || i >= len(node) {
			return nil, false
		}
		if node[i], ok = changeBelow(node[i], tokens, o); !ok {
			return nil, false
		}
		return node, true
	}
	return nil, false
}

func changeBelow(node any, tokens []string, o *operation) (changed any, ok bool) {
	return change(node, tokens[1:], o)
}

func changeMember(node map[string]any, o *operation) bool {
	old, there := node[o.last()]
	switch o.kind {
	case test:
		return there && testable(old) && o.matches(old)
	case remove:
		delete(node, o.last())
		return there
	}
	value, ok := decodeTree(o.value)
	node[o.last()] = value
	return ok
}

func changeElement(node []any, o *operation) (changed any, ok bool) {
	i, ok := index(o.last())
	if o.kind == add && o.last() == "-" {
		i, ok = len(node), true
	}
	if !ok || i > len(node) || i == len(node) && o.kind != add {
		return nil, false
	}
	switch o.kind {
	case test:
		return node, testable(node[i]) && o.matches(node[i])
	case remove:
		return append(node[:i], node[i+1:]...), true
	}
	value, ok := decodeTree(o.value)
	if o.kind == replace {
		node[i] = value
		return node, ok
	}
	node = append(node, nil)
	copy(node[i+1:], node[i:])
	node[i] = value
	return node, ok
}

// testable are values that are compared as they are written.
func testable(value any) bool {
	switch value.(type) {
	case string, bool:
		return true
	}
	return false
}

func decodeTree(raw []byte) (value any, ok bool) {
	if s, ok := plainText(raw); ok {
		return s, true
	}
	return value, kjson.UnmarshalCaseSensitivePreserveInts(raw, &value) == nil
}
