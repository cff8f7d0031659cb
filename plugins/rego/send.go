package rego

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/plugins/sandbox"
)

// fetchOperation is the operation of native guests that http.send uses.
const fetchOperation = "http.fetch"

// sender is http.send, by the operation http.fetch and within its grant: URLs, methods, addresses, certificates, lengths and time are
// for the operator to say. What a policy sends twice in one call is sent once.
type sender struct {
	fetch sandbox.Operation // nil where there is none
	sent  *map[string]any
}

// message is what http.send is given, as far as a policy decides about it here.
type message struct {
	url, method  string
	headers      map[string][]string
	body         string
	asJSON, yaml bool
	redirects    bool
	raise        bool
	timeout      time.Duration
}

// send makes a request. A failure ends the evaluation, and is one of the policy's, unless it has asked with raise_error false to be told:
// OPA itself would go on without the rules that the answer is needed for, of which one may deny.
func (s sender) send(ctx context.Context, args []any) (any, error) {
	asked, ok := args[0].(object)
	if !ok {
		return nil, fmt.Errorf("the request is %s, not object", kindOf(args[0]))
	}
	key := string(appendValue(nil, asked, ""))
	if answer, ok := (*s.sent)[key]; ok {
		return answer, nil
	}
	m, err := readMessage(asked)
	if err != nil {
		panic(sandbox.Faultf(sandbox.Refused, "http.send: %v", err))
	}
	answer, err := s.exchange(ctx, m)
	if err != nil && m.raise {
		panic(sandbox.Faultf(sandbox.Refused, "http.send: %v", err))
	}
	if err != nil {
		answer = sorted(map[string]any{
			"status_code": number(0),
			"error":       sorted(map[string]any{"code": "eval_http_send_network_error", "message": err.Error()}),
		})
	}
	if *s.sent == nil {
		*s.sent = map[string]any{}
	}
	(*s.sent)[key] = answer
	return answer, nil
}

// readMessage reads a request. What a policy cannot have here is an error; caches and retries are left out.
func readMessage(asked object) (message, error) {
	m := message{raise: true, headers: map[string][]string{}}
	for _, member := range asked {
		name, _ := member.key.(string)
		if err := m.take(name, member.value); err != nil {
			return m, fmt.Errorf("%s: %w", name, err)
		}
	}
	if m.url == "" || m.method == "" {
		return m, errors.New("url or method is missing")
	}
	return m, nil
}

func (m *message) take(name string, value any) (err error) {
	switch name {
	case "url":
		m.url, err = text(value)
	case "method":
		m.method, err = text(value)
		m.method = strings.ToUpper(m.method)
	case "headers":
		return m.takeHeaders(value)
	case "body":
		m.body = string(appendValue(nil, asJSON(value), ""))
	case "raw_body":
		m.body, err = text(value)
	case "force_json_decode":
		m.asJSON = value == true
	case "force_yaml_decode":
		m.yaml = value == true
	case "enable_redirect":
		m.redirects = value == true
	case "raise_error":
		m.raise = value != false
	case "timeout":
		m.timeout, err = duration(value)
	case "cache", "force_cache", "force_cache_duration_seconds", "caching_mode", "cache_ignored_headers", "max_retry_attempts",
		"tls_use_system_certs":
	case "tls_ca_cert", "tls_ca_cert_file", "tls_ca_cert_env_variable", "tls_client_cert", "tls_client_cert_file",
		"tls_client_cert_env_variable", "tls_client_key", "tls_client_key_file", "tls_client_key_env_variable", "tls_insecure_skip_verify",
		"tls_server_name":
		return errors.New("whom to trust is for the plugin's configuration to say (capabilities.http.authorities)")
	default:
		return errors.New("is not known here")
	}
	return err
}

func (m *message) takeHeaders(value any) error {
	headers, ok := value.(object)
	if !ok {
		return fmt.Errorf("is %s, not object", kindOf(value))
	}
	for _, member := range headers {
		name, err := text(member.key)
		if err != nil {
			return err
		}
		if m.headers[name], err = texts(member.value); err != nil {
			return err
		}
	}
	return nil
}

// duration is a number of nanoseconds, or a text such as "5s".
func duration(value any) (time.Duration, error) {
	if s, ok := value.(string); ok {
		return time.ParseDuration(s)
	}
	n, err := whole(value)
	return time.Duration(n), err
}

// exchange sends a request and reads what comes back.
func (s sender) exchange(ctx context.Context, m message) (any, error) {
	if s.fetch == nil {
		return nil, errors.New("is not granted to this plugin: it needs the capability http.fetch")
	}
	if m.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, m.timeout, fmt.Errorf("it took longer than the policy's timeout of %s", m.timeout))
		defer cancel()
	}
	payload, err := json.Marshal(map[string]any{
		"url": m.url, "method": m.method, "headers": m.headers, "body": m.body, "followRedirects": m.redirects,
	})
	if err != nil {
		return nil, err
	}
	answer, err := s.fetch(ctx, payload)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", m.method, m.url, err)
	}
	var response struct {
		Status     int                 `json:"status"`
		Headers    map[string][]string `json:"headers"`
		Body       string              `json:"body"`
		BodyBase64 string              `json:"bodyBase64"`
	}
	if err := json.Unmarshal(answer, &response); err != nil {
		return nil, fmt.Errorf("the answer of %s: %w", fetchOperation, err)
	}
	raw := response.Body
	if response.BodyBase64 != "" {
		decoded, err := base64.StdEncoding.DecodeString(response.BodyBase64)
		if err != nil {
			return nil, fmt.Errorf("the answer of %s: %w", fetchOperation, err)
		}
		raw = strings.ToValidUTF8(string(decoded), "\uFFFD")
	}
	headers := make(map[string]any, len(response.Headers))
	for _, name := range slices.Sorted(maps.Keys(response.Headers)) {
		headers[strings.ToLower(name)] = listOf(response.Headers[name])
	}
	return sorted(map[string]any{
		"status":      strings.TrimSpace(fmt.Sprintf("%d %s", response.Status, http.StatusText(response.Status))),
		"status_code": number(int64(response.Status)),
		"headers":     sorted(headers),
		"raw_body":    raw,
		"body":        m.decode(raw, strings.Join(response.Headers["Content-Type"], ",")),
	}), nil
}

// decode is the body as a value, where it is said to be one; a body that is none is null, as with OPA.
func (m message) decode(raw, contentType string) (body any) {
	kind, _, _ := strings.Cut(contentType, ";")
	switch kind = strings.TrimSpace(kind); {
	case m.asJSON || kind == "application/json" || strings.HasSuffix(kind, "+json"):
		body, _ = parseJSON([]byte(raw))
	case m.yaml || kind == "application/yaml" || kind == "application/x-yaml":
		body, _ = yamlDecode([]any{raw})
	}
	return body
}
