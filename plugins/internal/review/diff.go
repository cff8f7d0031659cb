package review

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"

	"gatehouse/plugins/sandbox"
)

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op, Path string
	Value    any
}

// MarshalJSON writes a value unless there must be none: null is one, too.
func (o operation) MarshalJSON() ([]byte, error) {
	if o.Op == "remove" {
		return json.Marshal(map[string]any{"op": o.Op, "path": o.Path})
	}
	return json.Marshal(map[string]any{"op": o.Op, "path": o.Path, "value": o.Value})
}

// Mutate puts the patch that makes want out of the request's object into response; none where they are equal. Fields are
// compared one by one, lists as a whole.
func (r Request) Mutate(response *admissionv1.AdmissionResponse, want []byte) error {
	from, err := decode(r.Object)
	if err != nil {
		return fmt.Errorf("read the request's object: %w", err)
	}
	to, err := decode(want)
	if err != nil {
		return sandbox.Garbledf("its changed object is no JSON: %v", err)
	}
	if _, ok := from.(map[string]any); !ok {
		return sandbox.Garbledf("it changes the object of a request that has none")
	}
	if _, ok := to.(map[string]any); !ok {
		return sandbox.Garbledf("its changed object is no object")
	}
	patch := diff(nil, "", from, to)
	if len(patch) == 0 {
		return nil
	}
	if response.Patch, err = json.Marshal(patch); err != nil {
		return err
	}
	kind := admissionv1.PatchTypeJSONPatch
	response.PatchType = &kind
	return nil
}

// decode keeps numbers as they are written.
func decode(text []byte) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}

// diff appends to patch what makes to out of from at path.
func diff(patch []operation, path string, from, to any) []operation {
	before, ok := from.(map[string]any)
	after, both := to.(map[string]any)
	if !ok || !both {
		if !reflect.DeepEqual(from, to) {
			patch = append(patch, operation{Op: "replace", Path: path, Value: to})
		}
		return patch
	}
	for _, key := range sortedKeys(before) {
		if _, kept := after[key]; !kept {
			patch = append(patch, operation{Op: "remove", Path: pointer(path, key)})
		}
	}
	for _, key := range sortedKeys(after) {
		old, known := before[key]
		if !known {
			patch = append(patch, operation{Op: "add", Path: pointer(path, key), Value: after[key]})
			continue
		}
		patch = diff(patch, pointer(path, key), old, after[key])
	}
	return patch
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// pointer is the JSON pointer (RFC 6901) to a member of what is at path.
func pointer(path, key string) string {
	return path + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
