package plugins

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestWhatIsInASecretIsHiddenHoweverItIsQuoted(t *testing.T) {
	const short, long, odd = "hunter2", "hunter2 & friends", "a\n\"<b>\""
	review, err := json.Marshal(map[string]any{"kind": "AdmissionReview", "request": map[string]any{"kind": map[string]any{"kind": "Secret"},
		"object": map[string]any{"stringData": map[string]any{"a": short, "b": long, "c": odd}}}})
	if err != nil {
		t.Fatal(err)
	}
	patch, err := json.Marshal([]any{
		map[string]any{"op": "add", "path": "/metadata/annotations/" + long, "value": map[string]any{odd: []any{"is " + odd, long, 5, nil}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // the order in which the secrets are found changes
		r := &Record{Review: review, Patch: patch, Message: long}
		r.hide()
		const want = `[{"op":"add","path":"/metadata/annotations/(hidden)","value":{"(hidden)":["is (hidden)","(hidden)",5,null]}}]`
		if string(r.Patch) != want || r.Message != "(hidden)" {
			t.Fatalf("the patch is %s, want %s; the message is %s", r.Patch, want, r.Message)
		}
	}
}

// FuzzHide has plugins answer anything about a Secret: what is in it is not in the record.
func FuzzHide(f *testing.F) {
	const secret, encoded = "hunter2hunter2", "aHVudGVyMmh1bnRlcjI="
	const review = `{"kind":"AdmissionReview","request":{"kind":{"kind":"Secret"},"object":{"data":{"a":"` + encoded + `"},"stringData":{"b":"` +
		secret + `"},"metadata":{"generation":9007199254740993,"annotations":{"` + lastApplied + `":"` + secret + `"}}}}}`
	for _, patch := range []string{
		`[{"op":"add","path":"/data/c","value":"` + encoded + `"},{"op":"add","path":"/stringData/c","value":"` + secret + `"}]`,
		`[{"op":"replace","path":"/data","value":{"c":"` + encoded + `"}},{"op":"replace","path":"","value":{"stringData":{"b":"` + secret + `"}}}]`,
		`[{"op":"add","path":"` + lastAppliedPointer + `","value":"` + secret + `"},{"op":"add","path":"/metadata/labels/x","value":"` + secret + `"}]`,
		`[{"op":"add","path":"/metadata","value":{"annotations":{"` + lastApplied + `":"` + secret + `"}}}]`,
		`[null,{"path":5,"value":"` + secret + `"},{"path":"/data","value":7},{"path":"/data/a","value":null}]`, `{}`, `null`, ``,
	} {
		f.Add([]byte(patch), "what is "+secret+"?")
	}
	f.Fuzz(func(t *testing.T, patch []byte, message string) {
		r := &Record{Review: json.RawMessage(review), Patch: patch, Message: message, Warnings: []string{message}, Annotations: map[string]string{"a": message}}
		r.hide()
		for _, part := range append([]string{string(r.Review), string(r.Patch), r.Message, r.Annotations["a"]}, r.Warnings...) {
			if strings.Contains(part, secret) || strings.Contains(part, encoded) {
				t.Errorf("the secret is in %s", part)
			}
		}
		if !r.Hidden || !json.Valid(r.Review) || len(r.Patch) > 0 && !json.Valid(r.Patch) || !strings.Contains(string(r.Review), "9007199254740993") {
			t.Errorf("made is %s, %s", r.Review, r.Patch)
		}
	})
}
