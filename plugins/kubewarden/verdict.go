package kubewarden

import (
	"bytes"
	"encoding/json"

	"gatehouse/plugins/internal/review"
	"gatehouse/plugins/sandbox"
)

// asker sends one of the protocol's questions to a guest. The answer is valid until the next one is sent.
type asker func(operation string, payload []byte) (answer []byte, err error)

const (
	validate         = "validate"
	validateSettings = "validate_settings"
	protocolVersion  = "protocol_version"
)

// checkSettings has a policy look at its settings.
func checkSettings(ask asker, settings []byte) error {
	answer, err := ask(validateSettings, settings)
	if err != nil {
		return err
	}
	var verdict struct {
		Valid   bool    `json:"valid"`
		Message *string `json:"message"`
	}
	if err := json.Unmarshal(answer, &verdict); err != nil {
		return sandbox.Garbledf("its answer to %s is no SettingsValidationResponse: %v", validateSettings, err)
	}
	if verdict.Valid {
		return nil
	}
	why := "it does not say why"
	if verdict.Message != nil {
		why = sandbox.Printable([]byte(*verdict.Message), 512)
	}
	return sandbox.Faultf(sandbox.Refused, "refuses its settings: %s", why)
}

// judge has a policy of these metadata look at a review and returns the one that answers.
func judge(ask asker, metadata *Metadata, payload, settings []byte) ([]byte, error) {
	request, err := review.Parse(payload)
	if err != nil {
		return nil, err
	}
	question := make([]byte, 0, len(request.JSON)+len(settings)+32)
	question = append(append(question, `{"request":`...), request.JSON...)
	question = append(append(question, `,"settings":`...), settings...)
	answer, err := ask(validate, append(question, '}'))
	if err != nil {
		return nil, err
	}
	var verdict struct {
		Accepted         *bool             `json:"accepted"`
		Message          string            `json:"message"`
		Code             uint16            `json:"code"`
		MutatedObject    json.RawMessage   `json:"mutated_object"`
		AuditAnnotations map[string]string `json:"audit_annotations"`
		Warnings         []string          `json:"warnings"`
	}
	if err := json.Unmarshal(answer, &verdict); err != nil {
		return nil, sandbox.Garbledf("its answer to %s is no ValidationResponse: %v", validate, err)
	}
	if verdict.Accepted == nil {
		return nil, sandbox.Garbledf("its answer to %s does not say whether the request is accepted", validate)
	}
	response := request.Deny(verdict.Message, int32(verdict.Code))
	if *verdict.Accepted {
		response = request.Allow()
		if changed := verdict.MutatedObject; len(changed) > 0 && !bytes.Equal(changed, []byte("null")) {
			if err := request.Mutate(response, changed); err != nil {
				return nil, err
			}
			if len(response.Patch) > 0 && metadata.NeverMutates() {
				return nil, ErrMutates()
			}
		}
	}
	response.AuditAnnotations, response.Warnings = verdict.AuditAnnotations, verdict.Warnings
	return review.Answer(response)
}
