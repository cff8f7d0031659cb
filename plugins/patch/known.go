package patch

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"sync"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	kjson "sigs.k8s.io/json"
)

// known is what need not be tried of a type that encodes itself.
type known struct{ steady, null func(v reflect.Value) bool }

// knownShapes are of the types that encode themselves and are in most objects. Others are tried: see returns.
var knownShapes = sync.OnceValue(func() map[reflect.Type]known {
	return map[reflect.Type]known{
		reflect.TypeFor[metav1.Time](): {
			func(v reflect.Value) bool { return steadyTime(v.Interface().(metav1.Time).Time, time.Second) },
			func(v reflect.Value) bool { return v.Interface().(metav1.Time).Time.IsZero() },
		},
		reflect.TypeFor[metav1.MicroTime](): {
			func(v reflect.Value) bool { return steadyTime(v.Interface().(metav1.MicroTime).Time, time.Microsecond) },
			func(v reflect.Value) bool { return v.Interface().(metav1.MicroTime).Time.IsZero() },
		},
		reflect.TypeFor[metav1.Duration](): {func(reflect.Value) bool { return true }, nil},
		reflect.TypeFor[metav1.FieldsV1](): {
			func(v reflect.Value) bool {
				return steadyFields(addressable(v).Addr().Interface().(*metav1.FieldsV1).GetRawBytes())
			},
			nil,
		},
		reflect.TypeFor[intstr.IntOrString](): {
			func(v reflect.Value) bool { return steadyIntOrString(v.Interface().(intstr.IntOrString)) }, nil,
		},
		reflect.TypeFor[resource.Quantity](): {
			func(v reflect.Value) bool { return steadyQuantity(v.Interface().(resource.Quantity)) }, nil,
		},
	}
})

// ownForms are the interfaces of types that encode or decode themselves.
var ownForms = sync.OnceValue(func() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	}
})

// steadyTime holds for a time that has no part finer than unit, which would be lost, and a year of four digits.
func steadyTime(t time.Time, unit time.Duration) bool {
	if t.IsZero() {
		return true
	}
	year := t.UTC().Year()
	return time.Duration(t.Nanosecond())%unit == 0 && year >= 1 && year <= 9999
}

func steadyIntOrString(i intstr.IntOrString) bool {
	switch i.Type {
	case intstr.Int:
		return i.StrVal == ""
	case intstr.String:
		return i.IntVal == 0 && utf8.ValidString(i.StrVal)
	}
	return false
}

// steadyQuantity tries it: how a quantity is written depends on more than its value.
func steadyQuantity(q resource.Quantity) bool {
	encoded, err := q.MarshalJSON()
	if err != nil {
		return false
	}
	var back resource.Quantity
	if back.UnmarshalJSON(encoded) != nil || q.Format != back.Format || q.Cmp(back) != 0 {
		return false
	}
	again, err := back.MarshalJSON()
	return err == nil && bytes.Equal(encoded, again)
}

// steadyFields holds for a set of fields as the server writes it: objects in objects, without white space, and with nothing in
// their names that encoders would write otherwise.
func steadyFields(raw []byte) bool {
	depth := 0
	for i := 0; i < len(raw); {
		// Here begins an object: of it follow its end, or the name of its first member.
		if raw[i] != '{' || i+1 == len(raw) {
			return false
		}
		depth++
		i++
		for i < len(raw) && raw[i] == '}' {
			depth--
			i++
			if depth == 0 {
				return i == len(raw)
			}
		}
		if i < len(raw) && raw[i] == ',' && raw[i-1] == '}' {
			i++
		} else if raw[i-1] != '{' {
			return false
		}
		if i = passName(raw, i); i < 0 {
			return false
		}
	}
	return false
}

// passName passes over a name and its colon; it is negative when it cannot.
func passName(raw []byte, i int) int {
	if i >= len(raw) || raw[i] != '"' {
		return -1
	}
	for i++; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			if i+1 < len(raw) && raw[i+1] == ':' {
				return i + 2
			}
			return -1
		case c == '\\':
			if i++; i >= len(raw) || raw[i] != '"' && raw[i] != '\\' {
				return -1
			}
		case c < ' ', c >= utf8.RuneSelf, c == '<', c == '>', c == '&':
			return -1
		}
	}
	return -1
}

// returns tries whether a value that encodes itself comes back as it is.
func returns(v reflect.Value) bool {
	v = addressable(v)
	encoded, err := json.Marshal(v.Addr().Interface())
	if err != nil {
		return false
	}
	back := reflect.New(v.Type())
	return kjson.UnmarshalCaseSensitivePreserveInts(encoded, back.Interface()) == nil && reflect.DeepEqual(v.Interface(), back.Elem().Interface())
}
