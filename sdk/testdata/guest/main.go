// Command guest uses everything the Go SDK has; its settings choose what of it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	gatehouse "gatehouse/sdk/go"
	"gatehouse/sdk/go/admission"
)

// does is what the setting "do" may say.
var does = map[string]admission.Handler{
	"describe": describe,
	"field":    byField,
	"json":     byJSON,
	"everything": func(r *admission.Request) *admission.Response {
		return admission.Allow().Warn("a \"warning\"\n").Warn("ünother").Audit("key", "value").Audit("other", "").
			SetLabel(r, "one", "1").SetAnnotation(r, "a/b~c", "x")
	},
	"deny":      func(*admission.Request) *admission.Response { return admission.Deny("because").Code(422, "Invalid") },
	"panic":     func(*admission.Request) *admission.Response { panic("something is wrong") },
	"nothing":   func(*admission.Request) *admission.Response { return nil },
	"malformed": func(*admission.Request) *admission.Response { gatehouse.Field("no slash"); return admission.Allow() },
	"remember": func(*admission.Request) *admission.Response {
		calls++
		return admission.Allow().Warn(fmt.Sprint("call ", calls))
	},
	"log": func(*admission.Request) *admission.Response {
		gatehouse.Log(gatehouse.Warn, "logged %d", 1)
		fmt.Println("printed")
		return admission.Allow()
	},
	"call": func(*admission.Request) *admission.Response {
		answer, err := gatehouse.Call("echo", []byte("hello"))
		return admission.Allow().Warn(fmt.Sprintf("%s %v", answer, err))
	},
}

var (
	handler admission.Handler
	calls   int
)

func init() {
	gatehouse.OnConfigure(func(b []byte) error {
		var settings struct {
			Do string `json:"do"`
		}
		if err := json.Unmarshal(b, &settings); err != nil {
			return err
		}
		if handler = does[settings.Do]; handler == nil {
			return errors.New("do: is nothing this guest can do")
		}
		admission.Handle(handler)
		return nil
	})
}

func describe(r *admission.Request) *admission.Response {
	response := admission.Allow()
	long := r.Object("metadata", "annotations", "long").Text()
	for _, fact := range []any{
		r.Operation(), r.Group(), r.Version(), r.Kind(), r.Resource(), r.SubResource(), r.Name(), r.Namespace(), r.User(), r.DryRun(),
		r.Object("spec", "containers", "0", "image").Text(), r.Object("spec", "containers", "1").Exists(),
		r.Object("metadata", "labels").Text(), r.Object("metadata", "labels").Kind() == gatehouse.Object,
		r.OldObject().Kind() == gatehouse.Null, len(long), strings.Trim(long, "x") == "", json.Valid(r.Review()),
	} {
		response.Warn(fmt.Sprint(fact))
	}
	return response
}

// byField and byJSON do the same job, for comparison.

func byField(r *admission.Request) *admission.Response {
	if r.Kind() == "Pod" && !r.Object("metadata", "labels", "owner").Exists() {
		return admission.Deny("no owner")
	}
	return admission.Allow()
}

func byJSON(r *admission.Request) *admission.Response {
	var review struct {
		Request struct {
			Kind struct {
				Kind string `json:"kind"`
			} `json:"kind"`
			Object struct {
				Metadata struct {
					Labels map[string]string `json:"labels"`
				} `json:"metadata"`
			} `json:"object"`
		} `json:"request"`
	}
	if err := json.Unmarshal(r.Review(), &review); err != nil {
		return admission.Deny(err.Error())
	}
	if _, owned := review.Request.Object.Metadata.Labels["owner"]; review.Request.Kind.Kind == "Pod" && !owned {
		return admission.Deny("no owner")
	}
	return admission.Allow()
}

func main() {}
