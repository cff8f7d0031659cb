package kubewarden

import (
	"encoding/json"
	"fmt"

	"gatehouse/plugins/internal/binary"
	"gatehouse/plugins/sandbox"
)

// MetadataSection is the custom section in which `kwctl annotate` keeps a policy's metadata.
const MetadataSection = "io.kubewarden.metadata"

// maxMetadata bounds the section, in bytes: it may hold all of a policy's documentation.
const maxMetadata = 1 << 20

// raw is the type of policies that are asked about anything but the requests of Kubernetes.
const raw = "raw"

// The annotations that say what a policy is for.
const (
	titleAnnotation       = "io.kubewarden.policy.title"
	descriptionAnnotation = "io.kubewarden.policy.description"
)

// Mode is how a policy is run.
type Mode string

const (
	// WaPC policies export __guest_call.
	WaPC Mode = "kubewarden-wapc"
	// WASI policies are commands.
	WASI Mode = "wasi"
)

// Metadata are what a policy says of itself.
type Metadata struct {
	// ProtocolVersion is "v1"; policies of WASI may have none.
	ProtocolVersion string `json:"protocolVersion"`
	// Rules say which requests the policy is meant for.
	Rules []Rule `json:"rules"`
	// Annotations describe the policy for people: its title, its author.
	Annotations map[string]string `json:"annotations"`
	// Mutating says whether the policy may change objects; nil, which Kubewarden does not accept, leaves it open.
	Mutating *bool `json:"mutating"`
	// PolicyType is "kubernetes", also when left out, or "raw".
	PolicyType string `json:"policyType"`
	// ExecutionMode is a Mode, or one of Rego's conventions.
	ExecutionMode Mode `json:"executionMode"`
	// ContextAwareResources are the kinds of objects that the policy would read in the cluster, if it may.
	ContextAwareResources []Resource `json:"contextAwareResources"`
}

// Rule is one of an admission webhook.
type Rule struct {
	APIGroups   []string `json:"apiGroups"`
	APIVersions []string `json:"apiVersions"`
	Resources   []string `json:"resources"`
	Operations  []string `json:"operations"`
}

// Resource is a kind of objects.
type Resource struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// ReadMetadata reads a module's metadata; nil without an error means that it has none.
func ReadMetadata(m *binary.Module) (*Metadata, error) {
	section, ok := m.Custom(MetadataSection)
	if !ok {
		return nil, nil
	}
	if len(section) > maxMetadata {
		return nil, fmt.Errorf("read the section %s: it has %d bytes, more than %d MiB", MetadataSection, len(section), maxMetadata>>20)
	}
	var metadata Metadata
	if err := json.Unmarshal(section, &metadata); err != nil {
		return nil, fmt.Errorf("read the section %s: %w", MetadataSection, err)
	}
	if metadata.PolicyType == raw {
		return nil, fmt.Errorf("the section %s: policyType: a raw policy cannot be asked about requests of Kubernetes, and there are no others here",
			MetadataSection)
	}
	return &metadata, nil
}

// Description says what the policy is for, in the words of its author; empty if there are none.
func (m *Metadata) Description() string {
	if text := m.Annotations[descriptionAnnotation]; text != "" {
		return text
	}
	return m.Annotations[titleAnnotation]
}

// NeverMutates reports whether the policy has promised to leave objects as they are. Nil metadata promise nothing.
func (m *Metadata) NeverMutates() bool { return m != nil && m.Mutating != nil && !*m.Mutating }

// ErrMutates is the fault of a policy that does not keep that promise.
func ErrMutates() error {
	return sandbox.Garbledf("it changes the object, but its metadata (section %s) say that it is not mutating", MetadataSection)
}

// modeOf is how a module is to be run; empty for one that is none of Kubewarden's.
func modeOf(m *binary.Module) Mode {
	if m.Exported(binary.Function, guestCallExport) {
		return WaPC // some of them export _start, too
	}
	if !m.Exported(binary.Function, startExport) {
		return ""
	}
	metadata, err := ReadMetadata(m)
	if m.ImportsFrom(wasiHostModule) || err == nil && metadata != nil && metadata.ExecutionMode == WASI {
		return WASI
	}
	return ""
}

// Detect reports whether a module is one of Kubewarden's policies in a language with an SDK; those in Rego are package rego's.
func Detect(m *binary.Module) bool { return modeOf(m) != "" }
