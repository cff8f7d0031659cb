package admission

import (
	"encoding/json"
	"reflect"
	"testing"

	"gatehouse/sdk/go/internal/host"
)

// answers makes the host answer look-ups from a map; the rest is absent.
func answers(t *testing.T, fields map[string]string) {
	host.Fake.Field = func(pointer string) (uint32, string) {
		text, ok := fields[pointer]
		if !ok {
			return 0, ""
		}
		return 4, text
	}
	t.Cleanup(func() { host.Fake.Field = nil })
}

// decoded is what a server makes of an answer.
type decoded struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Message    string `json:"message"`
	Response   struct {
		UID              string            `json:"uid"`
		Allowed          bool              `json:"allowed"`
		Status           map[string]any    `json:"status"`
		PatchType        string            `json:"patchType"`
		Patch            []byte            `json:"patch"`
		Warnings         []string          `json:"warnings"`
		AuditAnnotations map[string]string `json:"auditAnnotations"`
	} `json:"response"`
}

func ask(t *testing.T, h Handler) decoded {
	t.Helper()
	Handle(h)
	t.Cleanup(func() { Handle(nil) })
	text := review()
	var d decoded
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

func TestResponsesAreReviews(t *testing.T) {
	answers(t, map[string]string{"/request/uid": "u-1"})
	d := ask(t, func(*Request) *Response {
		return Deny("no \"quotes\",\n\x01\xff no control").Code(422, "Invalid").Warn("w1").Warn("w2").Audit("a", "1").Audit("b", "2")
	})
	r := d.Response
	if d.APIVersion != "admission.k8s.io/v1" || d.Kind != "AdmissionReview" || r.UID != "u-1" || r.Allowed {
		t.Errorf("got %+v", d)
	}
	status := map[string]any{"code": 422.0, "reason": "Invalid", "message": "no \"quotes\",\n\x01\uFFFD no control"}
	if !reflect.DeepEqual(r.Status, status) {
		t.Errorf("the status is %v, want %v", r.Status, status)
	}
	if !reflect.DeepEqual(r.Warnings, []string{"w1", "w2"}) || !reflect.DeepEqual(r.AuditAnnotations, map[string]string{"a": "1", "b": "2"}) {
		t.Errorf("got warnings %v, annotations %v", r.Warnings, r.AuditAnnotations)
	}
}

func TestSettingALabelPatchesOnlyWhatIsMissing(t *testing.T) {
	for _, test := range []struct {
		name   string
		fields map[string]string
		patch  string
	}{
		{"no labels", nil, `[{"op":"add","path":"/metadata/labels","value":{}},{"op":"add","path":"/metadata/labels/a~1b","value":"c"}]`},
		{"other labels", map[string]string{"/request/object/metadata/labels": "{}"}, `[{"op":"add","path":"/metadata/labels/a~1b","value":"c"}]`},
		{"another value", map[string]string{"/request/object/metadata/labels": "{}", "/request/object/metadata/labels/a~1b": "x"},
			`[{"op":"add","path":"/metadata/labels/a~1b","value":"c"}]`},
		{"the same value", map[string]string{"/request/object/metadata/labels": "{}", "/request/object/metadata/labels/a~1b": "c"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			answers(t, test.fields)
			r := ask(t, func(r *Request) *Response { return Allow().SetLabel(r, "a/b", "c") }).Response
			if string(r.Patch) != test.patch || (r.PatchType == "JSONPatch") != (test.patch != "") {
				t.Errorf("the patch is %s %s, want %s", r.PatchType, r.Patch, test.patch)
			}
		})
	}
}

func TestAPluginThatCannotDecideSaysSo(t *testing.T) {
	for want, h := range map[string]Handler{
		"the plugin has no admission handler: call admission.Handle in an init function": nil,
		"the plugin's handler returned no response":                                      func(*Request) *Response { return nil },
	} {
		if d := ask(t, h); d.APIVersion != "v1" || d.Kind != "Status" || d.Message != want {
			t.Errorf("got %+v, want %q", d, want)
		}
	}
}
