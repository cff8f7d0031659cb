// Command kubewarden-host-network is a policy by Kubewarden's SDK for Go: it refuses Pods that use their node's network, but in
// namespaces that the settings name, and in those whose own label says so.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	kubewarden "github.com/kubewarden/policy-sdk-go"
	"github.com/kubewarden/policy-sdk-go/pkg/capabilities"
	"github.com/kubewarden/policy-sdk-go/pkg/capabilities/kubernetes"
	"github.com/kubewarden/policy-sdk-go/protocol"
)

// settings are the operator's.
type settings struct {
	// Namespaces are those in which the node's network may be used.
	Namespaces []string `json:"namespaces"`
	// Label is one that a Namespace may have to allow it; it is not looked for when empty.
	Label string `json:"label"`
}

func main() {
	answer, err := run(os.Args[1:], os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Stdout.Write(answer)
}

func run(args []string, in io.Reader) ([]byte, error) {
	question, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	switch {
	case len(args) == 1 && args[0] == "validate":
		return validate(question)
	case len(args) == 1 && args[0] == "validate-settings":
		return validateSettings(question)
	}
	return nil, fmt.Errorf("asked for %q, not for validate or validate-settings", args)
}

func validateSettings(question []byte) ([]byte, error) {
	var s settings
	if err := json.Unmarshal(question, &s); err != nil {
		return kubewarden.RejectSettings(kubewarden.Message(err.Error()))
	}
	if slices.Contains(s.Namespaces, "") {
		return kubewarden.RejectSettings("a namespace has a name")
	}
	return kubewarden.AcceptSettings()
}

func validate(question []byte) ([]byte, error) {
	var request protocol.ValidationRequest
	if err := json.Unmarshal(question, &request); err != nil {
		return nil, err
	}
	var s settings
	if err := json.Unmarshal(request.Settings, &s); err != nil {
		return nil, err
	}
	pod, err := kubewarden.ExtractPodSpecFromObject(request)
	if err != nil {
		return nil, err
	}
	namespace := request.Request.Namespace
	if !pod.HostNetwork || slices.Contains(s.Namespaces, namespace) {
		return kubewarden.AcceptRequest()
	}
	labelled, err := labelled(namespace, s.Label)
	switch {
	case err != nil:
		return nil, err
	case labelled:
		return kubewarden.AcceptRequest()
	}
	return kubewarden.RejectRequest(kubewarden.Message(fmt.Sprintf("the node's network is not for the namespace %q", namespace)), 403)
}

// labelled asks the server for the Namespace.
func labelled(namespace, label string) (bool, error) {
	if label == "" {
		return false, nil
	}
	host := capabilities.NewHost()
	object, err := kubernetes.GetResource(&host, kubernetes.GetResourceRequest{APIVersion: "v1", Kind: "Namespace", Name: namespace})
	if err != nil {
		return false, err
	}
	var found struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(object, &found); err != nil {
		return false, err
	}
	_, ok := found.Metadata.Labels[label]
	return ok, nil
}
