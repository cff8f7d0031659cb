package kubewarden

import (
	"encoding/json"
	"fmt"

	"gatehouse/plugins/internal/binary"
)

// metadataSection is the custom section in which `kwctl annotate` keeps a policy's metadata.
const metadataSection = "io.kubewarden.metadata"

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
	// Mutating says whether the policy may change objects.
	Mutating bool `json:"mutating"`
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
	section, ok := m.Custom(metadataSection)
	if !ok {
		return nil, nil
	}
	var metadata Metadata
	if err := json.Unmarshal(section, &metadata); err != nil {
		return nil, fmt.Errorf("read the section %s: %w", metadataSection, err)
	}
	return &metadata, nil
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
