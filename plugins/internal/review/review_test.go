package review_test

import (
	"encoding/json"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	"gatehouse/plugins/internal/review"
)

func parse(t *testing.T, object string) review.Request {
	t.Helper()
	request, err := review.Parse([]byte(`{"request":{"uid":"u","object":` + object + `}}`))
	if err != nil {
		t.Fatal(err)
	}
	return request
}

func TestPatchesMakeOneObjectOutOfAnother(t *testing.T) {
	for _, test := range []struct{ name, from, to, patch string }{
		{"equal objects need none", `{"a":1,"b":{"c":[]}}`, `{"b":{"c":[]},"a":1}`, ``},
		{"fields come and go", `{"a":1,"b":2}`, `{"b":2,"c":null}`, `[{"op":"remove","path":"/a"},{"op":"add","path":"/c","value":null}]`},
		{"deep fields are changed alone", `{"a":{"b":{"c":1,"d":2}}}`, `{"a":{"b":{"c":1,"d":3}}}`,
			`[{"op":"replace","path":"/a/b/d","value":3}]`},
		{"lists are changed whole", `{"a":[{"x":1},2]}`, `{"a":[{"x":1}]}`, `[{"op":"replace","path":"/a","value":[{"x":1}]}]`},
		{"names are escaped", `{}`, `{"a/b~c":1}`, `[{"op":"add","path":"/a~1b~0c","value":1}]`},
		{"large numbers stay as they are", `{"n":1}`, `{"n":9007199254740993}`, `[{"op":"replace","path":"/n","value":9007199254740993}]`},
		{"kinds change", `{"a":{"b":1}}`, `{"a":[1]}`, `[{"op":"replace","path":"/a","value":[1]}]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := parse(t, test.from)
			response := request.Allow()
			if err := request.Mutate(response, []byte(test.to)); err != nil {
				t.Fatal(err)
			}
			if string(response.Patch) != test.patch || (response.PatchType != nil) != (test.patch != "") {
				t.Fatalf("got  %s\nwant %s", response.Patch, test.patch)
			}
			if test.patch == "" {
				return
			}
			patch, err := jsonpatch.DecodePatch(response.Patch)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := patch.Apply([]byte(test.from)); err != nil || !jsonpatch.Equal(got, []byte(test.to)) {
				t.Errorf("the patch makes %s, %v", got, err)
			}
		})
	}
}

func TestWhatIsNoObjectCannotBeChanged(t *testing.T) {
	for _, test := range []struct{ name, from, to string }{
		{"a deletion has no object", `null`, `{}`},
		{"an answer is no object", `{}`, `[]`},
		{"an answer is no JSON", `{}`, `{`},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := parse(t, test.from)
			if err := request.Mutate(request.Allow(), []byte(test.to)); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestAnswersRepeatTheRequest(t *testing.T) {
	request := parse(t, `{}`)
	for name, test := range map[string]struct {
		answer func() ([]byte, error)
		want   string
	}{
		"allowed": {func() ([]byte, error) { return review.Answer(request.Allow()) }, `{"uid":"u","allowed":true}`},
		"denied": {func() ([]byte, error) { return review.Answer(request.Deny("no", 403)) },
			`{"uid":"u","allowed":false,"status":{"metadata":{},"message":"no","code":403}}`},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := test.answer()
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				APIVersion, Kind string
				Response         json.RawMessage
			}
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			if got.APIVersion != "admission.k8s.io/v1" || got.Kind != "AdmissionReview" || string(got.Response) != test.want {
				t.Errorf("got  %s\nwant %s", data, test.want)
			}
		})
	}
}

func TestWhatIsNoReviewIsAnError(t *testing.T) {
	for _, payload := range []string{``, `[]`, `{}`, `{"request":1}`} {
		if request, err := review.Parse([]byte(payload)); err == nil {
			t.Errorf("%q is read as %+v", payload, request)
		}
	}
}
