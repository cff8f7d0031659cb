package plugins

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	kjson "sigs.k8s.io/json"
)

const (
	// hiddenText stands where something secret was.
	hiddenText = "(hidden)"
	// minSecret is how long a secret must be to be looked for in texts: shorter ones would stand anywhere.
	minSecret = 4
	// lastApplied is where kubectl keeps a copy of the object.
	lastApplied        = "kubectl.kubernetes.io/last-applied-configuration"
	lastAppliedPointer = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration"
)

// hide replaces what is secret in a record: bearer tokens, headers and queries that may hold credentials, and what is in Secrets. What a
// plugin quotes of them is replaced as well.
func (r *Record) hide() {
	var review map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(r.Review, &review); err != nil {
		r.Review, r.Patch, r.Hidden = json.RawMessage("null"), nil, true // it is the host's own; whatever it is, it is not shown
		return
	}
	h := &hider{}
	switch review["kind"] {
	case "TokenReview":
		h.text(member(review, "spec"), "token")
	case "RequestReview":
		h.request(member(review, "spec"))
	case "AdmissionReview":
		request := member(review, "request")
		kind := member(request, "kind")
		if group, _ := kind["group"].(string); group == "" && kind["kind"] == "Secret" {
			h.secret(member(request, "object"))
			h.secret(member(request, "oldObject"))
			r.Patch = h.patch(r.Patch)
		}
	}
	if len(h.secrets) == 0 && !h.changed {
		return
	}
	r.Hidden = true
	if hidden, err := json.Marshal(review); err == nil {
		r.Review = hidden
	}
	r.Message = h.in(r.Message)
	warnings := make([]string, len(r.Warnings)) // the plugin's answer is others' as well
	for i := range r.Warnings {
		warnings[i] = h.in(r.Warnings[i])
	}
	annotations := make(map[string]string, len(r.Annotations))
	for key, value := range r.Annotations {
		annotations[key] = h.in(value)
	}
	r.Warnings, r.Annotations = warnings, annotations
}

func member(of map[string]any, name string) map[string]any {
	found, _ := of[name].(map[string]any)
	return found
}

// hider hides, and remembers what.
type hider struct {
	secrets []string
	changed bool
}

// text hides a member that is a text.
func (h *hider) text(of map[string]any, name string) {
	if secret, ok := of[name].(string); ok && secret != "" {
		of[name] = h.replace(secret)
	}
}

func (h *hider) replace(secret string) string {
	h.secrets = append(h.secrets, secret)
	h.changed = true
	return hiddenText
}

// request hides the values of headers that are not known to hold no credentials, and of the query.
func (h *hider) request(spec map[string]any) {
	for name, values := range member(spec, "headers") {
		list, _ := values.([]any)
		if harmless(name) {
			continue
		}
		for i := range list {
			if secret, ok := list[i].(string); ok {
				list[i] = h.replace(secret)
			}
		}
	}
	query, _ := spec["query"].(string)
	if query == "" {
		return
	}
	parsed, err := url.ParseQuery(query)
	if err != nil {
		h.text(spec, "query")
		return
	}
	for name, values := range parsed {
		for i := range values {
			parsed[name][i] = h.replace(values[i])
		}
	}
	spec["query"] = parsed.Encode()
}

// harmless reports whether a header says how to answer rather than who asks. A websocket's protocols can have a token among them, and
// what a proxy forwards can be anything.
func harmless(name string) bool {
	return neededToAnswer(name) && !strings.HasPrefix(name, "Sec-Websocket-") && !strings.HasPrefix(name, "X-Forwarded-") && name != "Forwarded"
}

// secret hides what a Secret holds, and the copy that kubectl keeps of it.
func (h *hider) secret(object map[string]any) {
	for name, value := range member(object, "data") {
		member(object, "data")[name] = h.datum(value)
	}
	for name := range member(object, "stringData") {
		h.text(member(object, "stringData"), name)
	}
	h.text(member(member(object, "metadata"), "annotations"), lastApplied)
}

// datum hides a value of data, which is in base64 and stays so.
func (h *hider) datum(value any) any {
	encoded, ok := value.(string)
	if !ok {
		return value
	}
	if plain, err := base64.StdEncoding.DecodeString(encoded); err == nil {
		h.secrets = append(h.secrets, string(plain))
	}
	h.replace(encoded)
	return base64.StdEncoding.EncodeToString([]byte(hiddenText))
}

// patch hides the values that a patch of a Secret puts where those are secret.
func (h *hider) patch(patch []byte) json.RawMessage {
	var operations []map[string]any
	if len(patch) == 0 || kjson.UnmarshalCaseSensitivePreserveInts(patch, &operations) != nil {
		return nil
	}
	for _, operation := range operations {
		path, _ := operation["path"].(string)
		value, has := operation["value"]
		switch first, rest, deeper := strings.Cut(strings.TrimPrefix(path, "/"), "/"); {
		case !has:
		case first == "data" && deeper && rest != "":
			operation["value"] = h.datum(value)
		case first == "stringData" && deeper:
			h.text(operation, "value")
		case first == "data" || first == "stringData":
			h.text(operation, "value") // which would be no patch that applies
			h.secret(map[string]any{first: value})
		case first == "":
			whole, _ := value.(map[string]any)
			h.secret(whole)
		case path == lastAppliedPointer:
			h.text(operation, "value")
		case path == "/metadata/annotations" || path == "/metadata":
			annotations, _ := value.(map[string]any)
			h.text(annotations, lastApplied)
			h.text(member(annotations, "annotations"), lastApplied)
		}
	}
	// A plugin may have put what is in a Secret anywhere. Its texts are looked through one by one, for in JSON a secret may be escaped.
	anywhere := make([]any, len(operations))
	for i, operation := range operations {
		anywhere[i] = h.inAll(operation)
	}
	hidden, err := json.Marshal(anywhere)
	if err != nil {
		return nil
	}
	return hidden
}

// inAll replaces secrets that texts in a value quote.
func (h *hider) inAll(value any) any {
	switch value := value.(type) {
	case string:
		return h.in(value)
	case []any:
		for i := range value {
			value[i] = h.inAll(value[i])
		}
	case map[string]any:
		if value == nil {
			return nil
		}
		all := make(map[string]any, len(value))
		for name, of := range value {
			all[h.in(name)] = h.inAll(of)
		}
		return all
	}
	return value
}

// in replaces secrets that a text quotes. What is part of another would leave the rest of that to be read if it were replaced first.
func (h *hider) in(text string) string {
	slices.SortFunc(h.secrets, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range h.secrets {
		if len(secret) >= minSecret {
			text = strings.ReplaceAll(text, secret, hiddenText)
		}
	}
	return text
}
