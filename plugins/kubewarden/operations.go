package kubewarden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// The operations of native guests that are used; sdk/SPEC.md says what they are asked and answer.
const (
	getOperation  = "k8s.get"
	listOperation = "k8s.list"
	canIOperation = "authz.can_i"
)

// about is the payload of Kubewarden's questions about objects.
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
		var review struct {
			Spec json.RawMessage `json:"spec"`
		}
		if err := json.Unmarshal(payload, &review); err != nil {
			return nil, fmt.Errorf("the payload of %s: %w", call, err)
		}
		return c.operate(ctx, call, canIOperation, review.Spec)
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

func (c caller) operate(ctx context.Context, call, name string, payload []byte) ([]byte, error) {
	operation := c.operations[name]
	if operation == nil {
		return nil, fmt.Errorf("the host call %s is not granted to this plugin: it needs the capability %s", call, name)
	}
	return operation(ctx, payload)
}
