package answer_test

import (
	"encoding/json"
	"strings"
	"testing"

	"gatehouse/sdk/go/internal/answer"
)

func TestQuotedTextsComeBack(t *testing.T) {
	for _, special := range []string{"", `"`, `\`, "\n", "\x1f", "\x7f", "ä", "\u2028", "🚪", "\xff"} {
		for before := range 4 {
			text := strings.Repeat("x", before) + special + "behind"
			var got string
			if err := json.Unmarshal(answer.Quote(nil, text), &got); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if want := strings.ToValidUTF8(text, "\ufffd"); got != want {
				t.Errorf("%q comes back as %q, want %q", text, got, want)
			}
		}
	}
}
