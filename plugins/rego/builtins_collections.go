package rego

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// collectionBuiltins work on arrays, sets and objects.
func collectionBuiltins() map[string]builtin {
	return map[string]builtin{
		"object.subset":      of(2, func(args []any) (any, error) { return subset(args[0], args[1]) }),
		"numbers.range_step": of(3, steps),
	}
}

// subset reports whether all of b is in a: the members of an object, those of objects in it likewise, the elements of a set, also of one
// that is looked for in an array, and an array as it stands in another.
func subset(a, b any) (bool, error) {
	switch sub := b.(type) {
	case object:
		if super, ok := a.(object); ok {
			return objectSubset(super, sub)
		}
	case set:
		switch super := a.(type) {
		case set:
			return allIn(sub, super), nil
		case []any:
			return allIn(sub, super), nil
		}
	case []any:
		if super, ok := a.([]any); ok {
			return arraySubset(super, sub)
		}
	}
	return false, fmt.Errorf("%s cannot be in %s", kindOf(b), kindOf(a))
}

func arraySubset(super, sub []any) (bool, error) {
	if len(super)*len(sub) > maxSteps {
		return false, fmt.Errorf("arrays of %d and %d elements are too many", len(super), len(sub))
	}
	all, wanted := written(super), written(sub)
	for from := range len(all) - len(wanted) + 1 {
		if slices.Equal(all[from:from+len(wanted)], wanted) {
			return true, nil
		}
	}
	return false, nil
}

func objectSubset(super, sub object) (bool, error) {
	values := make(map[string]any, len(super))
	for _, m := range super {
		values[string(appendValue(nil, m.key, ""))] = m.value
	}
	for _, m := range sub {
		value, ok := values[string(appendValue(nil, m.key, ""))]
		if !ok {
			return false, nil
		}
		within, err := subset(value, m.value)
		if err != nil { // what cannot be within may be the same; looked at first, this would cost again at each level of objects
			within = bytes.Equal(appendValue(nil, value, ""), appendValue(nil, m.value, ""))
		}
		if !within {
			return false, nil
		}
	}
	return true, nil
}

func allIn(sub, super []any) bool {
	there := make(map[string]bool, len(super))
	for _, one := range written(super) {
		there[one] = true
	}
	return !slices.ContainsFunc(written(sub), func(one string) bool { return !there[one] })
}

// written are values as they are written, to compare them.
func written(list []any) []string {
	texts := make([]string, len(list))
	for i, value := range list {
		texts[i] = string(appendValue(nil, value, ""))
	}
	return texts
}

// steps is numbers.range_step(from, to, step).
func steps(args []any) (any, error) {
	var n [3]int64
	for i := range n {
		var err error
		if n[i], err = whole(args[i]); err != nil {
			return nil, err
		}
	}
	from, to, step := n[0], n[1], n[2]
	const most = 1 << 62 // so that differences are numbers, too
	if step <= 0 || max(from, to) > most || min(from, to) < -most {
		return nil, errors.New("a step is a number greater than 0, between numbers that are not too large")
	}
	list := []any{}
	for len(list) < maxElements {
		list = append(list, number(from))
		switch {
		case from <= to && to-from >= step:
			from += step
		case from > to && from-to >= step:
			from -= step
		default:
			return list, nil
		}
	}
	return nil, fmt.Errorf("there are more than the %d numbers that are listed", maxElements)
}
