package patch

import (
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apiserver/pkg/admission"
)

// Error is what a patch is to blame for. All other errors are the server's own.
type Error struct {
	// Misshapes is set when the patch applies, but what it makes is no object of the kind; otherwise it does not apply.
	Misshapes bool
	// Cause says why.
	Cause error
}

func (e *Error) Error() string {
	if e.Misshapes {
		return fmt.Sprintf("the patched object does not decode: %v", e.Cause)
	}
	return fmt.Sprintf("the patch does not apply: %v", e.Cause)
}

func (e *Error) Unwrap() error { return e.Cause }

// Apply returns what a patch makes of an object of a kind, defaulted, and whether it changes it by more than the defaults. The
// object stays as it is and shares nothing with the result that can be changed; it must not be changed meanwhile.
func Apply(object runtime.Object, kind schema.GroupVersionKind, objects admission.ObjectInterfaces, p Patch) (
	result runtime.Object, changed bool, err error) {
	result, changed, sure := direct(object, kind, objects, p)
	if !sure {
		result, changed, err = general(object, kind, objects, p)
	}
	if err != nil {
		return nil, false, err
	}
	objects.GetObjectDefaulter().Default(result)
	return result, changed, nil
}

// general is upstream's way, but for the defaults.
func general(object runtime.Object, kind schema.GroupVersionKind, objects admission.ObjectInterfaces, p Patch) (
	result runtime.Object, changed bool, err error) {
	codec := serializer.NewSerializerWithOptions(serializer.DefaultMetaFactory,
		objects.GetObjectCreater(), objects.GetObjectTyper(), serializer.SerializerOptions{})
	before, err := runtime.Encode(codec, object)
	if err != nil {
		return nil, false, fmt.Errorf("encode the object to patch: %w", err)
	}
	steps, err := p.decoded()
	if err != nil {
		return nil, false, &Error{Cause: err}
	}
	after, err := steps.Apply(before)
	if err != nil {
		return nil, false, &Error{Cause: err}
	}
	var into runtime.Object = &unstructured.Unstructured{}
	if _, custom := object.(*unstructured.Unstructured); !custom {
		if into, err = objects.GetObjectCreater().New(kind); err != nil {
			return nil, false, fmt.Errorf("make an object to decode the patched one into: %w", err)
		}
	}
	result, _, err = codec.Decode(after, nil, into)
	if err != nil {
		return nil, false, &Error{Misshapes: true, Cause: err}
	}
	return result, !apiequality.Semantic.DeepEqual(object, result), nil
}
