package capability

import (
	"encoding/json"
	"errors"
	"fmt"

	kjson "sigs.k8s.io/json"
)

// decode reads a payload. Members that are not known, or stand twice, are errors: a misspelt one could be a check that is not made.
func decode(payload []byte, into any) error {
	unknown, err := kjson.UnmarshalStrict(payload, into)
	if err != nil {
		return fmt.Errorf("the payload is not what it should be: %w", err)
	}
	if len(unknown) > 0 {
		return fmt.Errorf("the payload is not what it should be: %w", errors.Join(unknown...))
	}
	return nil
}

// encode makes an answer.
func encode(answer any) ([]byte, error) {
	encoded, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return encoded, nil
}
