package patch

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shape is how a Go type goes through JSON and back.
type shape struct {
	// steady reports whether a value comes back from JSON as it is; nil means every value does. It errs on the side of no.
	steady func(v reflect.Value) bool
	// null reports whether a value is written as null, which a pointer to it would not survive; nil means none is.
	null func(v reflect.Value) bool
	// members are a struct's by name, those of embedded structs among them. It is nil where operations cannot look into the type:
	// unless it is a plain map or slice, it has a form of its own in JSON.
	members map[string]*member
	// custom is set when the type encodes or decodes itself.
	custom bool
	// checks are the members of a struct that may be unsteady.
	checks []check
	kind   reflect.Kind
}

// member is one of a struct's, as JSON has it.
type member struct {
	index []int
	// omitted reports whether a value is left out of JSON.
	omitted func(v reflect.Value) bool
}

// check is a field that may be unsteady.
type check struct {
	index  int
	steady func(v reflect.Value) bool
}

// plainString reports whether values are strings, and written as such.
func (s *shape) plainString() bool { return s.kind == reflect.String && !s.custom }

// scalar reports whether values have nothing to look into.
func (s *shape) scalar() bool {
	switch s.kind {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array, reflect.Pointer, reflect.Interface:
		return false
	}
	return !s.custom
}

// shapes holds the shape of each type that has been met.
var shapes sync.Map // of reflect.Type: *shape

func shapeOf(t reflect.Type) *shape {
	if found, ok := shapes.Load(t); ok {
		return found.(*shape)
	}
	found, _ := shapes.LoadOrStore(t, newShape(t))
	return found.(*shape)
}

func newShape(t reflect.Type) *shape {
	s := &shape{kind: t.Kind()}
	if known, ok := knownShapes()[t]; ok {
		s.custom, s.steady, s.null = true, known.steady, known.null
		return s
	}
	if hasOwnForm(t) {
		s.custom, s.steady, s.null = true, returns, writesNull
		return s
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
	case reflect.Float32, reflect.Float64:
		s.steady = func(v reflect.Value) bool { return !math.IsNaN(v.Float()) && !math.IsInf(v.Float(), 0) }
	case reflect.String:
		s.steady = func(v reflect.Value) bool { return utf8.ValidString(v.String()) }
	case reflect.Pointer:
		s.steady, s.null = steadyPointer(t), isNil
	case reflect.Slice:
		s.steady, s.null = steadySlice(t), isNil
	case reflect.Map:
		s.steady, s.null = steadyMap(t), isNil
	case reflect.Struct:
		s.readStruct(t)
	default:
		s.steady = never
	}
	return s
}

func never(reflect.Value) bool        { return false }
func isNil(v reflect.Value) bool      { return v.IsNil() }
func neverOmitted(reflect.Value) bool { return false }

// hasOwnForm reports whether a type, or a pointer to it, encodes or decodes itself.
func hasOwnForm(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return false
	}
	for _, own := range ownForms() {
		if t.Implements(own) || reflect.PointerTo(t).Implements(own) {
			return true
		}
	}
	return false
}

func steadyPointer(t reflect.Type) func(reflect.Value) bool {
	return func(v reflect.Value) bool {
		if v.IsNil() {
			return true
		}
		to := shapeOf(t.Elem())
		return (to.null == nil || !to.null(v.Elem())) && (to.steady == nil || to.steady(v.Elem()))
	}
}

func steadySlice(t reflect.Type) func(reflect.Value) bool {
	if t.Elem().Kind() == reflect.Uint8 { // a string in JSON
		if shapeOf(t.Elem()).custom {
			return never
		}
		return func(v reflect.Value) bool { return v.IsNil() || v.Len() > 0 }
	}
	return func(v reflect.Value) bool {
		if v.Len() == 0 {
			return true
		}
		of := shapeOf(t.Elem())
		if of.steady == nil {
			return true
		}
		for i := range v.Len() {
			if !of.steady(v.Index(i)) {
				return false
			}
		}
		return true
	}
}

func steadyMap(t reflect.Type) func(reflect.Value) bool {
	if t == reflect.TypeFor[map[string]string]() {
		return func(v reflect.Value) bool {
			for key, value := range v.Interface().(map[string]string) {
				if !utf8.ValidString(key) || !utf8.ValidString(value) {
					return false
				}
			}
			return true
		}
	}
	if t.Key().Kind() != reflect.String || hasOwnForm(t.Key()) {
		return func(v reflect.Value) bool { return v.IsNil() }
	}
	return func(v reflect.Value) bool {
		if v.Len() == 0 {
			return true
		}
		of := shapeOf(t.Elem())
		for entries := v.MapRange(); entries.Next(); {
			if !utf8.ValidString(entries.Key().String()) || of.steady != nil && !of.steady(entries.Value()) {
				return false
			}
		}
		return true
	}
}

// readStruct learns a struct's members. One that goes by rules beyond the common ones is never steady.
func (s *shape) readStruct(t reflect.Type) {
	s.members = map[string]*member{}
	if !s.readMembers(t, nil) {
		s.members, s.steady = nil, never
		return
	}
	for i := range t.NumField() {
		field := t.Field(i)
		if of := steadyMember(field); of != nil {
			s.checks = append(s.checks, check{i, of})
		}
	}
	if len(s.checks) > 0 {
		s.steady = s.steadyStruct
	}
}

func (s *shape) steadyStruct(v reflect.Value) bool {
	for i := range s.checks {
		if !s.checks[i].steady(v.Field(s.checks[i].index)) {
			return false
		}
	}
	return true
}

// readMembers reports false for a struct that has fields which it does not know how to treat.
func (s *shape) readMembers(t reflect.Type, index []int) bool {
	for i := range t.NumField() {
		field := t.Field(i)
		at := append(slices.Clip(index), i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" && options == "":
			continue
		case field.Anonymous && name == "":
			if field.Type.Kind() != reflect.Struct || hasOwnForm(field.Type) || !s.readMembers(field.Type, at) {
				return false
			}
			continue
		case !field.IsExported():
			return false
		case name == "":
			name = field.Name
		}
		m := &member{index: at, omitted: neverOmitted}
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "", "inline", "protobuf":
			case "omitempty":
				m.omitted = either(m.omitted, isEmpty)
			case "omitzero":
				m.omitted = either(m.omitted, isZero(field.Type))
			default: // string
				return false
			}
		}
		if s.members[name] != nil {
			return false
		}
		s.members[name] = m
	}
	return true
}

// steadyMember is the check of a field; nil when every value is steady.
func steadyMember(field reflect.StructField) func(v reflect.Value) bool {
	name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
	if name == "-" && options == "" {
		return reflect.Value.IsZero
	}
	if slices.Contains(strings.Split(options, ","), "omitzero") && field.Type != reflect.TypeFor[metav1.Time]() {
		return reflect.Value.IsZero // what is left out might not be the zero value
	}
	switch field.Type.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64:
		if !hasOwnForm(field.Type) {
			return nil
		}
	case reflect.Slice, reflect.Map:
		if slices.Contains(strings.Split(options, ","), "omitempty") {
			return steadyIfAny(field.Type)
		}
	}
	// Shapes are looked up late, for types may contain themselves.
	var find sync.Once
	var of *shape
	return func(v reflect.Value) bool {
		find.Do(func() { of = shapeOf(field.Type) })
		return of.steady == nil || of.steady(v)
	}
}

// steadyIfAny is for members that come back as nil when they are empty.
func steadyIfAny(t reflect.Type) func(reflect.Value) bool {
	return func(v reflect.Value) bool {
		if v.IsNil() {
			return true
		}
		of := shapeOf(t)
		return v.Len() > 0 && (of.steady == nil || of.steady(v))
	}
}

// isEmpty is what omitempty goes by.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// isZero is what omitzero goes by for a type.
func isZero(t reflect.Type) func(v reflect.Value) bool {
	if !reflect.PointerTo(t).Implements(reflect.TypeFor[zeroer]()) {
		return reflect.Value.IsZero
	}
	return func(v reflect.Value) bool { return addressable(v).Addr().Interface().(zeroer).IsZero() }
}

// zeroer says itself whether it is to be left out.
type zeroer interface{ IsZero() bool }

func either(a, b func(v reflect.Value) bool) func(v reflect.Value) bool {
	return func(v reflect.Value) bool { return a(v) || b(v) }
}

// find follows a member's index.
func (m *member) find(v reflect.Value) reflect.Value {
	for _, i := range m.index {
		v = v.Field(i)
	}
	return v
}

// addressable makes methods on the pointer reachable for a value that lies in a map.
func addressable(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v
	}
	copied := reflect.New(v.Type()).Elem()
	copied.Set(v)
	return copied
}

// writesNull reports whether a value that encodes itself makes null of itself.
func writesNull(v reflect.Value) bool {
	encoded, err := json.Marshal(addressable(v).Addr().Interface())
	return err != nil || string(encoded) == "null"
}
