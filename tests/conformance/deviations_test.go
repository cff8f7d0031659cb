package conformance

import (
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

// deviation is a difference from kube-apiserver that is known, and why it is there.
type deviation struct {
	// Case and Step say where it shows: in the step of that title, in those that begin so if it ends with *, or in every
	// step of the case if there is none.
	Case string `json:"case"`
	Step string `json:"step,omitempty"`
	// Reason says why gatehouse differs, and if that will pass.
	Reason string `json:"reason"`
	// Upstream is text of kube-apiserver's answer, Gatehouse what stands in its place.
	Upstream  string `json:"upstream"`
	Gatehouse string `json:"gatehouse"`
}

const deviationsFile = "deviations.yaml"

// readDeviations reads the reviewed list, by case.
func readDeviations() (map[string][]deviation, error) {
	text, err := os.ReadFile(deviationsFile)
	if err != nil {
		return nil, err
	}
	var list []deviation
	if err := yaml.UnmarshalStrict(text, &list); err != nil {
		return nil, fmt.Errorf("read %s: %w", deviationsFile, err)
	}
	byCase := map[string][]deviation{}
	for i, d := range list {
		if d.Case == "" || strings.TrimSpace(d.Reason) == "" || d.Upstream == "" || d.Upstream == d.Gatehouse {
			return nil, fmt.Errorf("entry %d of %s needs a case, a reason, and two texts that differ", i+1, deviationsFile)
		}
		d.Upstream, d.Gatehouse = strings.TrimSuffix(d.Upstream, "\n"), strings.TrimSuffix(d.Gatehouse, "\n")
		byCase[d.Case] = append(byCase[d.Case], d)
	}
	return byCase, nil
}

func (d deviation) isOf(title string) bool {
	prefix, many := strings.CutSuffix(d.Step, "*")
	return d.Step == "" || d.Step == title || many && strings.HasPrefix(title, prefix)
}

// apply turns kube-apiserver's answer to a step into the one that is expected, and says which deviations that took.
func apply(deviations []deviation, title, answer string) (expected string, used []int) {
	for i, d := range deviations {
		if d.isOf(title) && strings.Contains(answer, d.Upstream) {
			answer = strings.ReplaceAll(answer, d.Upstream, d.Gatehouse)
			used = append(used, i)
		}
	}
	return answer, used
}
