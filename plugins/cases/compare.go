package cases

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"gatehouse/plugins/field"
	"gatehouse/plugins/sandbox"
)

// compare lists what came out otherwise than wanted.
func (w *Want) compare(got outcome) []string {
	if got.decision != w.Decision {
		problem := fmt.Sprintf("decision: %s, want %s", got.decision, w.Decision)
		if got.message != "" {
			problem += ": " + got.message
		}
		return []string{problem} // the rest would only be noise
	}
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if w.Code != 0 && w.Code != got.code {
		add("code: %d, want %d", got.code, w.Code)
	}
	if !matches(w.Message, got.message) {
		add("message: %q, want a match of %q", got.message, w.Message)
	}
	if w.Warnings != nil && !slices.EqualFunc(w.Warnings, got.warnings, matches) {
		add("warnings: %q, want matches of %q", got.warnings, w.Warnings)
	}
	for _, key := range sorted(w.Annotations) {
		if text, ok := got.annotations[key]; text != w.Annotations[key] || !ok {
			add("annotations: %s is %q, want %q", key, text, w.Annotations[key])
		}
	}
	if w.User != nil && !reflect.DeepEqual(w.User.plain(), got.user.plain()) {
		add("user: %s, want %s", text(got.user), text(w.User))
	}
	if w.Unchanged && !reflect.DeepEqual(got.before, got.after) {
		add("object: was changed to %s", text(got.after))
	}
	if w.Object != nil {
		problems = append(problems, lacks("object", got.after, w.Object)...)
	}
	for _, pointer := range w.Absent {
		if value, err := field.Lookup(got.after, pointer); err != nil || value.Kind != sandbox.Absent {
			add("absent: the object has %s: %s", pointer, value.Text)
		}
	}
	return problems
}

func matches(pattern, text string) bool {
	return regexp.MustCompile(pattern).MatchString(text) // Load has compiled it
}

// lacks lists what of want is not so in got. Members of objects that want does not name are not compared.
func lacks(path string, got, want any) []string {
	var problems []string
	switch want := want.(type) {
	case map[string]any:
		members, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: %s, want %s", path, text(got), text(want))}
		}
		for _, key := range sorted(want) {
			problems = append(problems, lacks(path+"."+key, members[key], want[key])...)
		}
	case []any:
		elements, ok := got.([]any)
		if !ok || len(elements) != len(want) {
			return []string{fmt.Sprintf("%s: %s, want %s", path, text(got), text(want))}
		}
		for i := range want {
			problems = append(problems, lacks(path+"["+strconv.Itoa(i)+"]", elements[i], want[i])...)
		}
	default:
		if text(got) != text(want) {
			problems = append(problems, fmt.Sprintf("%s: %s, want %s", path, text(got), text(want)))
		}
	}
	return problems
}

// plain is the user with nothing where there may be something empty.
func (u *User) plain() *User {
	if u == nil {
		return nil
	}
	same := *u
	if len(same.Groups) == 0 {
		same.Groups = nil
	}
	if len(same.Extra) == 0 {
		same.Extra = nil
	}
	return &same
}

// text is a value as people read it.
func text(value any) string {
	if value == nil {
		return "nothing"
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return strings.TrimSpace(string(data))
}

func sorted[T any](members map[string]T) []string {
	keys := make([]string, 0, len(members))
	for key := range members {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
