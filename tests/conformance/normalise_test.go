package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// normaliser replaces what differs from run to run by names: the same value by the same name throughout a case. What a case
// writes down itself stays.
type normaliser struct {
	port  string // of the server
	fixed string // the case's text
	// names of values by what they are of: uid, rv, ...
	names map[string]map[string]string
	// generated names, the longest first.
	generated []string
	now       time.Time
}

func newNormaliser(port, fixed string) *normaliser {
	return &normaliser{port: port, fixed: fixed, names: map[string]map[string]string{}, now: time.Now()}
}

// name is what stands for a value: <uid 1> for the first uid seen.
func (n *normaliser) name(of, value string) string {
	if n.isFixed(of, value) {
		return value
	}
	if n.names[of] == nil {
		n.names[of] = map[string]string{}
	}
	if _, known := n.names[of][value]; !known {
		n.names[of][value] = fmt.Sprintf("<%s %d>", of, len(n.names[of])+1)
	}
	return n.names[of][value]
}

// isFixed says whether the case itself writes the value down.
func (n *normaliser) isFixed(of, value string) bool {
	pattern := `\b` + regexp.QuoteMeta(value) + `\b`
	if of == "rv" { // which are small numbers, and may stand for anything
		pattern = `resourceVersion(=|: ")` + value + `\b`
	}
	return regexp.MustCompile(pattern).MatchString(n.fixed)
}

// document normalises a body, in place where it can.
func (n *normaliser) document(document any) any {
	n.collectGenerated(document)
	return n.value("", document)
}

// longestPrefix is how much of metadata.generateName gets into a name.
const longestPrefix = 58

// tokenVolume begins the names of the volumes in which pods have their service account's token.
const tokenVolume = "kube-api-access-"

// collectGenerated learns which names the server made up.
func (n *normaliser) collectGenerated(value any) {
	switch value := value.(type) {
	case map[string]any:
		prefix, _ := value["generateName"].(string)
		name, _ := value["name"].(string)
		prefix = prefix[:min(len(prefix), longestPrefix)]
		if strings.HasPrefix(name, tokenVolume) {
			prefix = tokenVolume
		}
		if prefix != "" && strings.HasPrefix(name, prefix) && !slices.Contains(n.generated, name) {
			n.generated = append(n.generated, name)
			slices.SortFunc(n.generated, func(a, b string) int { return len(b) - len(a) })
			n.name("generated name", name)
		}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			n.collectGenerated(value[key])
		}
	case []any:
		for _, element := range value {
			n.collectGenerated(element)
		}
	}
}

func (n *normaliser) value(key string, value any) any {
	switch value := value.(type) {
	case map[string]any:
		return n.object(value)
	case []any:
		for i := range value {
			value[i] = n.value(key, value[i])
		}
		if len(value) > 1 && orderedByChance(key, value) {
			slices.SortFunc(value, func(a, b any) int { return strings.Compare(inline(a), inline(b)) })
		}
		return value
	case json.Number:
		switch {
		case key == "nodePort" || key == "healthCheckNodePort":
			return n.name("node port", value.String())
		case value.String() == n.port:
			return "<port>"
		}
		return value
	case string:
		return n.member(key, value)
	default:
		return value
	}
}

// orderedByChance says of managedFields that they are ordered by times, and of others that they come out of a map.
func orderedByChance(key string, list []any) bool {
	switch key {
	case "managedFields", "nonResourceRules", "resourceRules":
		return true
	case "causes": // of conflicts between those who apply
		first, _ := list[0].(map[string]any)
		return first["reason"] == "FieldManagerConflict"
	default:
		return false
	}
}

// object normalises members in the order of their names, so that values get the same names in each run.
func (n *normaliser) object(object map[string]any) any {
	metadata, _ := object["metadata"].(map[string]any)
	revision, _ := metadata["resourceVersion"].(string)
	_, list := object["items"]
	_, table := object["rows"]
	if (list || table) && revision != "" && revision != "0" {
		metadata["resourceVersion"] = "<list rv>" // whatever is written meanwhile, elsewhere, raises it
	}
	if object["type"] == "BOOKMARK" {
		markBookmark(object["object"])
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		object[key] = n.value(key, object[key])
	}
	return object
}

// markBookmark names the resource version of a bookmark, wherever in its event it stands: that of the store at the time.
func markBookmark(value any) {
	switch value := value.(type) {
	case map[string]any:
		if metadata, _ := value["metadata"].(map[string]any); metadata["resourceVersion"] != nil {
			metadata["resourceVersion"] = "<bookmark rv>"
		}
		for _, member := range value {
			markBookmark(member)
		}
	case []any:
		for _, element := range value {
			markBookmark(element)
		}
	}
}

// member normalises a string, knowing what it is called.
func (n *normaliser) member(key, value string) string {
	switch {
	case value == "" || strings.HasPrefix(value, "<"):
		return value
	case key == "resourceVersion" && value != "0":
		return n.name("rv", value)
	case key == "continue":
		return "<continue>"
	case key == "cells" && agePattern.MatchString(value):
		return "<age>"
	default:
		return n.text(value)
	}
}

var (
	agePattern       = regexp.MustCompile(`^(\d+m)?\d{1,2}s$`)
	uidPattern       = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timePattern      = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)
	clusterIPPattern = regexp.MustCompile(`\b10\.(9[6-9]|10\d|11[01])\.\d{1,3}\.\d{1,3}\b`)
	nodePortPattern  = regexp.MustCompile(`\b(3[01]\d{3}|32[0-6]\d\d|327[0-5]\d|3276[0-7])\b(/TCP|/UDP)`)
	// certificatePattern is of the sum of a client's certificate.
	certificatePattern = regexp.MustCompile(`(X509SHA256=)[0-9a-f]{64}`)
	hashPattern        = regexp.MustCompile(`hash=[0-9A-F]{128}`) // of a document
	ownedFieldsPattern = regexp.MustCompile(`managedFields\\+":\[`)
	fillPattern        = regexp.MustCompile(`x{1000,}`) // Go's regexp repeats no more than 1000 times
	tokenPattern       = regexp.MustCompile(`\beyJ[\w-]+\.[\w-]+\.[\w-]+`)
	// storeRevisionPattern is of a resource version that may be of any write: in a raw body, in an error about the store.
	storeRevisionPattern = regexp.MustCompile(`(resourceVersion[\\"]*: ?[\\"]*|resource version: \d+, current: |resource version: \d+ \()(\d+)`)
	// preconditionPattern is of an object's resource version in an error.
	preconditionPattern = regexp.MustCompile(`(ResourceVersion in (?:the precondition|record) \()(\d+)`)
)

// hideOwnedFields names the managedFields of objects that are quoted in a text: their entries are ordered by times.
func hideOwnedFields(text string) string {
	const hidden = "<owned fields>"
	var result strings.Builder
	for {
		begin := ownedFieldsPattern.FindStringIndex(text)
		if begin == nil {
			return result.String() + text
		}
		end := begin[1]
		for depth := 1; depth > 0 && end < len(text); end++ {
			switch text[end] {
			case '[':
				depth++
			case ']':
				depth--
			}
		}
		result.WriteString(text[:begin[1]] + hidden + "]")
		text = text[end:]
	}
}

// text normalises a string in which volatile values stand among words.
func (n *normaliser) text(text string) string {
	text = fillPattern.ReplaceAllStringFunc(text, func(fill string) string { return fmt.Sprintf("<%d bytes of x>", len(fill)) })
	text = strings.ReplaceAll(text, ":"+n.port, ":<port>")
	for _, name := range n.generated {
		text = strings.ReplaceAll(text, name, n.name("generated name", name))
	}
	text = hideOwnedFields(text)
	text = tokenPattern.ReplaceAllString(text, "<token>")
	text = hashPattern.ReplaceAllString(text, "hash=<hash>")
	text = certificatePattern.ReplaceAllString(text, "${1}<sum>")
	text = uidPattern.ReplaceAllStringFunc(text, func(uid string) string { return n.name("uid", uid) })
	text = timePattern.ReplaceAllStringFunc(text, n.time)
	text = clusterIPPattern.ReplaceAllStringFunc(text, func(ip string) string { return n.name("cluster IP", ip) })
	text = replaceGroup(nodePortPattern, text, func(groups []string) string { return n.name("node port", groups[1]) + groups[2] })
	text = replaceGroup(storeRevisionPattern, text, func(groups []string) string { return groups[1] + "<some rv>" })
	return replaceGroup(preconditionPattern, text, func(groups []string) string { return groups[1] + n.name("rv", groups[2]) })
}

func replaceGroup(pattern *regexp.Regexp, text string, by func(groups []string) string) string {
	return pattern.ReplaceAllStringFunc(text, func(match string) string { return by(pattern.FindStringSubmatch(match)) })
}

// time names the times of this run, by their precision.
func (n *normaliser) time(text string) string {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || at.Sub(n.now).Abs() > 48*time.Hour || strings.Contains(n.fixed, text) {
		return text
	}
	if _, fraction, found := strings.Cut(strings.TrimRight(text, "Z"), "."); found {
		return fmt.Sprintf("<now, %d digits>", len(fraction))
	}
	return "<now>"
}
