// Command wapc is a policy of waPC that does what the object's annotation "do" says, so that one policy serves all tests.
package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

func main() {}

// question is a ValidationRequest.
type question struct {
	Request struct {
		Name   string         `json:"name"`
		Object map[string]any `json:"object"`
	} `json:"request"`
	Settings map[string]any `json:"settings"`
}

func answer(operation string, payload []byte) ([]byte, error) {
	switch operation {
	case "protocol_version":
		return []byte(`"v1"`), nil
	case "validate_settings":
		var settings map[string]any
		if err := json.Unmarshal(payload, &settings); err != nil {
			return nil, err
		}
		if settings["bad"] != nil {
			return []byte(`{"valid":false,"message":"bad is not good"}`), nil
		}
		return []byte(`{"valid":true}`), nil
	case "validate":
		var q question
		if err := json.Unmarshal(payload, &q); err != nil {
			return nil, err
		}
		return validate(q)
	}
	return nil, fmt.Errorf("there is no operation %q", operation)
}

func validate(q question) ([]byte, error) {
	what, argument, _ := strings.Cut(q.Request.Name, ":")
	switch what {
	case "reject":
		return []byte(`{"accepted":false,"message":"not this one","code":418}`), nil
	case "warn":
		return []byte(`{"accepted":true,"warnings":["hm"],"audit_annotations":{"seen":"yes"}}`), nil
	case "mutate":
		q.Request.Object["spec"] = map[string]any{"a/b": q.Settings["value"], "list": []int{1, 2}}
		delete(q.Request.Object, "status")
		return json.Marshal(map[string]any{"accepted": true, "mutated_object": q.Request.Object})
	case "host":
		namespace, operation, _ := strings.Cut(argument, "/")
		payload, given := q.Request.Object["payload"].(string)
		if !given {
			payload = `{"api_version":"v1","kind":"Namespace","name":"shop","spec":{"user":"eve"}}`
		}
		text, ok := hostCall(namespace, operation, payload)
		return json.Marshal(map[string]any{"accepted": ok, "message": text, "warnings": []string{text}})
	case "log":
		consoleLog(pointer([]byte("to the console")), 14)
		hostCall("tracing", "log", `{"level":"WARN","message":"to the log"}`)
	case "fail":
		return nil, fmt.Errorf("cannot tell")
	case "nonsense":
		return []byte(`{"accepted":1}`), nil
	case "silence":
		return []byte(`{}`), nil
	case "long":
		return make([]byte, 2<<20), nil
	case "panic":
		panic("no more")
	case "loop":
		for {
		}
	}
	return []byte(`{"accepted":true}`), nil
}
