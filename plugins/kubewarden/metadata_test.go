package kubewarden

import (
	"strings"
	"testing"

	"gatehouse/plugins/internal/binary"
)

// annotated is a module of nothing but metadata.
func annotated(t *testing.T, metadata string) *binary.Module {
	t.Helper()
	wasm, err := binary.SetCustom([]byte("\x00asm\x01\x00\x00\x00"), MetadataSection, []byte(metadata))
	if err != nil {
		t.Fatal(err)
	}
	m, err := binary.Read(wasm)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAPolicyMustNotMutateIfItHasSaidThatItWillNot(t *testing.T) {
	const payload = `{"request":{"uid":"u1","object":{"kind":"Pod","spec":{"a":1}}}}`
	const changes = `{"accepted":true,"mutated_object":{"kind":"Pod","spec":{"a":2}}}`
	const fault = "it changes the object, but its metadata (section io.kubewarden.metadata) say that it is not mutating"
	for _, test := range []struct{ name, metadata, answer, fault string }{
		{"it has, and does", `{"mutating":false}`, changes, fault},
		{"it has, and gives the object back as it was", `{"mutating":false}`, `{"accepted":true,"mutated_object":{"kind":"Pod","spec":{"a":1}}}`, ""},
		{"it has, and denies", `{"mutating":false}`, `{"accepted":false,"mutated_object":{"kind":"Pod","spec":{"a":2}}}`, ""},
		{"it has said that it will", `{"mutating":true}`, changes, ""},
		{"it has not said", `{}`, changes, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			metadata, err := ReadMetadata(annotated(t, test.metadata))
			if err != nil {
				t.Fatal(err)
			}
			ask := func(string, []byte) ([]byte, error) { return []byte(test.answer), nil }
			_, err = judge(ask, metadata, []byte(payload), []byte("{}"))
			if got := errorText(err); got != test.fault {
				t.Errorf("got  %s\nwant %s", got, test.fault)
			}
		})
	}
}

func TestMetadataThatServeNobodyAreErrors(t *testing.T) {
	for _, test := range []struct{ name, metadata, want string }{
		{"no JSON", "rules:", "read the section io.kubewarden.metadata: invalid character"},
		{"of another type", `{"rules":{}}`, "read the section io.kubewarden.metadata: json: cannot unmarshal object"},
		{"endless", `{"annotations":{"a":"` + strings.Repeat("x", maxMetadata) + `"}}`, "read the section io.kubewarden.metadata: it has 1048600 bytes, more than 1 MiB"},
		{"of a raw policy", `{"policyType":"raw"}`, "the section io.kubewarden.metadata: policyType: a raw policy cannot be asked"},
		{"of one for Kubernetes", `{"policyType":"kubernetes","backgroundAudit":true,"minimumKubewardenVersion":"1.0.0"}`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ReadMetadata(annotated(t, test.metadata))
			if got := errorText(err); !strings.HasPrefix(got, test.want) || test.want == "" && err != nil {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
