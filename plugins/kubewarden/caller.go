package kubewarden

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/tetratelabs/wazero/api"

	"gatehouse/plugins/sandbox"
)

// caller passes on what a policy asks of its host.
type caller struct{ operations map[string]sandbox.Operation }

// maxName bounds the names in a host call.
const maxName = 256

// hostCall answers a host call, whose binding, namespace, operation and payload lie at the first eight places of the stack.
func (c caller) hostCall(ctx context.Context, machine *sandbox.Machine, module api.Module, stack []uint64) ([]byte, error) {
	var names [3]string
	for i := range names {
		name := textAt(module, stack, 2*i, "a name in a host call")
		if len(name) > maxName {
			return nil, fmt.Errorf("a name of %d bytes is none of a host call", len(name))
		}
		names[i] = string(name)
	}
	payload := textAt(module, stack, 6, "the payload of a host call")
	binding, namespace, operation := names[0], names[1], names[2]
	switch {
	case binding != "kubewarden":
		return nil, fmt.Errorf("unknown binding %q of a host call", binding)
	case namespace == "tracing" && operation == "log":
		logEvent(machine, payload)
		return nil, nil
	}
	return c.translate(ctx, namespace+"/"+operation, payload)
}

// logEvent writes an event of a policy's logger, which is an object with the members level and message, and more.
func logEvent(machine *sandbox.Machine, event []byte) {
	var about struct {
		Level   string `json:"level"`
		Message string `json:"message"`
	}
	level := slog.LevelInfo
	if json.Unmarshal(event, &about) == nil {
		// Names that slog does not know leave the level as it is.
		_ = level.UnmarshalText([]byte(about.Level))
	}
	machine.Log(level, event)
}
