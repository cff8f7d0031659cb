package kubewarden

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// The operations of native guests that are used; sdk/SPEC.md says what they are asked and answer.
const (
	getOperation        = "k8s.get"
	listOperation       = "k8s.list"
	canIOperation       = "authz.can_i"
	verifyCertOperation = "crypto.verify_cert"
)

// about is the payload of Kubewarden's questions about objects. What else it may have is advice about caches and about members
// that are not needed, which an answer may have all the same.
type about struct {
	APIVersion    string `json:"api_version"`
	Kind          string `json:"kind"`
	Namespace     string `json:"namespace"`
	Name          string `json:"name"`
	LabelSelector string `json:"label_selector"`
	FieldSelector string `json:"field_selector"`
}

// objects is the payload of k8s.get and k8s.list.
type objects struct {
	APIVersion    string `json:"apiVersion"`
	Kind          string `json:"kind"`
	Namespace     string `json:"namespace,omitempty"`
	Name          string `json:"name,omitempty"`
	LabelSelector string `json:"labelSelector,omitempty"`
}

// translate answers one of Kubewarden's host calls by an operation of this server.
func (c caller) translate(ctx context.Context, call string, payload []byte) ([]byte, error) {
	switch call {
	case "kubernetes/get_resource":
		return c.get(ctx, call, payload)
	case "kubernetes/list_resources_all", "kubernetes/list_resources_by_namespace":
		return c.list(ctx, call, payload)
	case "kubernetes/can_i":
		return c.canI(ctx, call, payload)
	case "crypto/v1/is_certificate_trusted":
		return c.trusted(ctx, call, payload)
	}
	switch namespace, _, _ := strings.Cut(call, "/"); namespace {
	case "oci", "net":
		return nil, fmt.Errorf("this server does not have the host call %s: policies here neither look up names nor fetch images", call)
	}
	return nil, fmt.Errorf("this server does not have the host call %s", call)
}

// get answers with the object alone; one that does not exist is an error, as it is to clients of the API.
func (c caller) get(ctx context.Context, call string, payload []byte) ([]byte, error) {
	var wanted about
	if err := json.Unmarshal(payload, &wanted); err != nil {
		return nil, fmt.Errorf("the payload of %s: %w", call, err)
	}
	question, err := json.Marshal(objects{
		APIVersion: wanted.APIVersion, Kind: wanted.Kind, Namespace: wanted.Namespace, Name: wanted.Name,
	})
	if err != nil {
		return nil, err
	}
	answer, err := c.operate(ctx, call, getOperation, question)
	if err != nil {
		return nil, err
	}
	var got struct {
		Found  bool            `json:"found"`
		Object json.RawMessage `json:"object"`
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		return nil, fmt.Errorf("the answer of %s: %w", getOperation, err)
	}
	if !got.Found {
		return nil, fmt.Errorf("%s %q not found", wanted.Kind, wanted.Name)
	}
	return got.Object, nil
}

// list answers with the list as a client of the API gets it.
func (c caller) list(ctx context.Context, call string, payload []byte) ([]byte, error) {
	var wanted about
	if err := json.Unmarshal(payload, &wanted); err != nil {
		return nil, fmt.Errorf("the payload of %s: %w", call, err)
	}
	if wanted.FieldSelector != "" {
		return nil, errors.New("this server selects by labels only, not by field_selector")
	}
	question, err := json.Marshal(objects{
		APIVersion: wanted.APIVersion, Kind: wanted.Kind, Namespace: wanted.Namespace, LabelSelector: wanted.LabelSelector,
	})
	if err != nil {
		return nil, err
	}
	return c.operate(ctx, call, listOperation, question)
}

// canI answers with the status of a SubjectAccessReview. SDKs ask in two ways: that for Go by a review as the API has it, that for Rust
// by one of its own.
func (c caller) canI(ctx context.Context, call string, payload []byte) ([]byte, error) {
	type attributes struct {
		Namespace   string `json:"namespace,omitempty"`
		Verb        string `json:"verb,omitempty"`
		Group       string `json:"group,omitempty"`
		Version     string `json:"version,omitempty"`
		Resource    string `json:"resource,omitempty"`
		Subresource string `json:"subresource,omitempty"`
		Name        string `json:"name,omitempty"`
	}
	var asked struct {
		Spec   json.RawMessage `json:"spec"`
		Review *struct {
			User       string     `json:"user"`
			Groups     []string   `json:"groups"`
			Attributes attributes `json:"resource_attributes"`
		} `json:"subject_access_review"`
	}
	if err := json.Unmarshal(payload, &asked); err != nil {
		return nil, fmt.Errorf("the payload of %s: %w", call, err)
	}
	if asked.Review == nil {
		return c.operate(ctx, call, canIOperation, asked.Spec)
	}
	spec, err := json.Marshal(struct {
		User       string     `json:"user,omitempty"`
		Groups     []string   `json:"groups,omitempty"`
		Attributes attributes `json:"resourceAttributes"`
	}{asked.Review.User, asked.Review.Groups, asked.Review.Attributes})
	if err != nil {
		return nil, err
	}
	return c.operate(ctx, call, canIOperation, spec)
}

// certificate is one in a host call: its data are numbers, each a byte of DER or PEM.
type certificate struct {
	Encoding string `json:"encoding"`
	Data     []int  `json:"data"`
}

// der is the certificate's DER.
func (c certificate) der() ([]byte, error) {
	data := make([]byte, len(c.Data))
	for i, b := range c.Data {
		if b != int(byte(b)) {
			return nil, fmt.Errorf("a certificate has the number %d, which is no byte", b)
		}
		data[i] = byte(b)
	}
	switch c.Encoding {
	case "Der":
		return data, nil
	case "Pem":
		if block, _ := pem.Decode(data); block != nil {
			return block.Bytes, nil
		}
		return nil, errors.New("a certificate is no PEM")
	}
	return nil, fmt.Errorf("the encoding of a certificate is %q, neither Der nor Pem", c.Encoding)
}

// trusted answers whether a certificate is of a chain, of which those that have signed themselves are the roots. By Kubewarden's own host
// a question without a chain is about the authorities of browsers; this server has none.
func (c caller) trusted(ctx context.Context, call string, payload []byte) ([]byte, error) {
	var asked struct {
		Certificate certificate   `json:"cert"`
		Chain       []certificate `json:"cert_chain"`
		NotAfter    string        `json:"not_after"`
	}
	if err := json.Unmarshal(payload, &asked); err != nil {
		return nil, fmt.Errorf("the payload of %s: %w", call, err)
	}
	if len(asked.Chain) == 0 {
		return nil, fmt.Errorf("%s: cert_chain is empty, and this server trusts no authority by itself", call)
	}
	var question struct {
		Chain  []string `json:"chain"`
		Roots  string   `json:"roots"`
		Usages []string `json:"usages"`
		Time   string   `json:"time,omitempty"`
	}
	question.Usages, question.Time = []string{"any"}, asked.NotAfter
	for i, one := range append([]certificate{asked.Certificate}, asked.Chain...) {
		der, err := one.der()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", call, err)
		}
		if i > 0 && selfIssued(der) {
			question.Roots += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		} else {
			question.Chain = append(question.Chain, base64.StdEncoding.EncodeToString(der))
		}
	}
	if question.Roots == "" {
		return json.Marshal(trust{Reason: "no certificate of the chain is an authority's own"})
	}
	encoded, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	answer, err := c.operate(ctx, call, verifyCertOperation, encoded)
	if err != nil {
		return nil, err
	}
	var verdict struct {
		Valid  bool   `json:"valid"`
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(answer, &verdict); err != nil {
		return nil, fmt.Errorf("the answer of %s: %w", verifyCertOperation, err)
	}
	if verdict.Valid {
		return json.Marshal(trust{Trusted: true})
	}
	return json.Marshal(trust{Reason: cmp.Or(verdict.Reason, "the certificate is not valid")})
}

// trust is Kubewarden's CertificateVerificationResponse.
type trust struct {
	Trusted bool   `json:"trusted"`
	Reason  string `json:"reason"`
}

// selfIssued reports whether a certificate is its own authority's.
func selfIssued(der []byte) bool {
	parsed, err := x509.ParseCertificate(der)
	return err == nil && bytes.Equal(parsed.RawIssuer, parsed.RawSubject)
}

func (c caller) operate(ctx context.Context, call, name string, payload []byte) ([]byte, error) {
	operation := c.operations[name]
	if operation == nil {
		return nil, fmt.Errorf("the host call %s is not granted to this plugin: it needs the capability %s", call, name)
	}
	return operation(ctx, payload)
}
