// Command guest is a WebAssembly guest that does what an admission plugin in Go does when it parses a review itself.
package main

import (
	"encoding/json"
	"sort"
	"strings"
)

// review is what the guest looks at of an AdmissionReview.
type review struct {
	Request struct {
		Object struct {
			Metadata struct {
				Name   string            `json:"name"`
				Labels map[string]string `json:"labels"`
			} `json:"metadata"`
			Spec struct {
				Containers []struct {
					Name  string `json:"name"`
					Image string `json:"image"`
				} `json:"containers"`
			} `json:"spec"`
		} `json:"object"`
	} `json:"request"`
}

// text is an AdmissionReview of some 4 KB.
func text() []byte {
	container := func(name string) map[string]any {
		return map[string]any{"name": name, "image": "registry.example/team/" + name + ":1.2.3",
			"env":       []any{map[string]any{"name": "A", "value": strings.Repeat("x", 100)}, map[string]any{"name": "B", "value": "y"}},
			"resources": map[string]any{"limits": map[string]any{"cpu": "100m", "memory": "64Mi"}},
			"ports":     []any{map[string]any{"containerPort": 8080, "protocol": "TCP"}}}
	}
	var containers []any
	for _, name := range []string{"web", "proxy", "logs", "metrics", "init", "cache", "queue", "cron", "mail", "auth"} {
		containers = append(containers, container(name))
	}
	labels := map[string]any{"app": "shop", "owner": "team-a", "tier": "front"}
	b, err := json.Marshal(map[string]any{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
		"request": map[string]any{"uid": "6c5f", "operation": "CREATE", "object": map[string]any{
			"metadata": map[string]any{"name": "web-0", "labels": labels}, "spec": map[string]any{"containers": containers}}}})
	if err != nil {
		panic(err)
	}
	return b
}

var payload = text()

// typed parses reviews into structs.
//
//go:wasmexport typed
func typed(n int64) int64 {
	var found int64
	for range n {
		var r review
		if err := json.Unmarshal(payload, &r); err != nil {
			panic(err)
		}
		found += int64(len(r.Request.Object.Spec.Containers) + len(r.Request.Object.Metadata.Labels["owner"]))
	}
	return found
}

// untyped parses reviews into maps and writes them again.
//
//go:wasmexport untyped
func untyped(n int64) int64 {
	var size int64
	for range n {
		var r map[string]any
		if err := json.Unmarshal(payload, &r); err != nil {
			panic(err)
		}
		b, err := json.Marshal(r)
		if err != nil {
			panic(err)
		}
		size += int64(len(b))
	}
	return size
}

// sorted sorts a thousand words.
//
//go:wasmexport sorted
func sorted(n int64) int64 {
	words := make([]string, 1000)
	for range n {
		x := uint32(7)
		for i := range words {
			x = x*1664525 + 1013904223
			words[i] = string([]byte{byte('a' + x>>28), byte('a' + x>>24&15), byte('a' + x>>20&15)})
		}
		sort.Strings(words)
	}
	return int64(len(words[0]))
}

func main() {}
