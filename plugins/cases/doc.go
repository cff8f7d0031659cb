// Package cases runs a plugin against reviews and compares what becomes of them with what should. Cases are YAML, so that those who
// write a plugin in any language can test it without writing Go; reviews can be written by hand or recorded.
//
// A case goes through the very host that the server has: the plugin's own rules, settings and limits, patches, and what its
// failure policy makes of a failure. Only the kinds of objects are not known: nothing is defaulted or converted. To matchConditions that
// ask the authorizer, nobody may do anything.
package cases

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// maxFile is how long a file of cases or a review may be, in bytes.
const maxFile = 64 << 20

// Decision is what becomes of a review, in a word.
type Decision string

// The decisions. In the role authenticate Allowed lets somebody in, and Denied means wrong credentials.
const (
	Allowed   Decision = "allowed"
	Denied    Decision = "denied"
	NoOpinion Decision = "no opinion"
	// Failed: the plugin could not decide, whatever its failurePolicy made of that.
	Failed Decision = "failed"
	// NotAsked: the plugin's rules do not match the review.
	NotAsked Decision = "not asked"
	// Refused: the plugin did not come up, such as for settings that it does not accept.
	Refused Decision = "refused"
)

func decisions() []Decision { return []Decision{Allowed, Denied, NoOpinion, Failed, NotAsked, Refused} }

// Case is one review and what should become of it.
type Case struct {
	// Name says what the case shows, as a sentence.
	Name string `json:"name"`
	// Settings stand in the place of those in the plugin's YAML; nil leaves these.
	Settings json.RawMessage `json:"settings,omitempty"`
	// NamespaceLabels are those of the namespace that the review is about, for plugins that select by them. It has kubernetes.io/metadata.name
	// besides, as every namespace does.
	NamespaceLabels map[string]string `json:"namespaceLabels,omitempty"`
	// Review is an AdmissionReview, a TokenReview, a RequestReview or a SubjectAccessReview; its kind tells the role. File has it
	// instead, in YAML or JSON, by a path from the file of the case. A case that wants Refused has neither.
	Review json.RawMessage `json:"review,omitempty"`
	File   string          `json:"file,omitempty"`
	// Want is what should become of it.
	Want Want `json:"want"`

	asked asked
}

// Want is what a case expects. What is left out is not compared.
type Want struct {
	Decision Decision `json:"decision"`
	// Code is the status code of a denial in the role admit.
	Code int32 `json:"code,omitempty"`
	// Message is a regular expression that the client's message matches, or the reason why a plugin did not come up.
	Message string `json:"message,omitempty"`
	// Warnings are regular expressions, one for each warning, in their order.
	Warnings []string `json:"warnings,omitempty"`
	// Annotations are members of the audit event, with the plugin's name before their keys.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Object holds members that the object has in the end; those in lists stand at the same place. Absent are JSON pointers to
	// what it has not.
	Object map[string]any `json:"object,omitempty"`
	Absent []string       `json:"absent,omitempty"`
	// Unchanged is that the plugin patches nothing.
	Unchanged bool `json:"unchanged,omitempty"`
	// User is who is let in, in the role authenticate.
	User *User `json:"user,omitempty"`
}

// User is somebody that an authenticator lets in.
type User struct {
	Username string              `json:"username"`
	UID      string              `json:"uid,omitempty"`
	Groups   []string            `json:"groups,omitempty"`
	Extra    map[string][]string `json:"extra,omitempty"`
}

// Load reads a file of cases, a list in YAML. Its errors say which case and what is wrong with it.
func Load(path string) ([]Case, error) {
	data, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("read cases: %w", err)
	}
	var all []Case
	if err := decodeYAML(data, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: has no cases: write a list of them", path)
	}
	for i := range all {
		if err := all[i].complete(filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("%s: case %d (%s): %w", path, i+1, all[i].Name, err)
		}
	}
	return all, nil
}

// complete reads the case's review and checks what is wanted.
func (c *Case) complete(dir string) error {
	if c.Name == "" {
		return errors.New("name: is missing: say what the case shows")
	}
	if !slices.Contains(decisions(), c.Want.Decision) {
		return fmt.Errorf("want.decision: %q is none of %q", c.Want.Decision, decisions())
	}
	for _, pattern := range append([]string{c.Want.Message}, c.Want.Warnings...) {
		if _, err := regexp.Compile(pattern); err != nil {
			return fmt.Errorf("want: %w", err)
		}
	}
	if bytes.Equal(c.Settings, []byte("null")) {
		c.Settings = nil
	}
	switch {
	case c.File != "" && c.Review != nil:
		return errors.New("has a review and a file: want one of them")
	case c.File != "":
		data, err := read(filepath.Join(dir, filepath.FromSlash(c.File)))
		if err != nil {
			return fmt.Errorf("file: %w", err)
		}
		if c.Review, err = yaml.YAMLToJSONStrict(data); err != nil {
			return fmt.Errorf("file: %s: %w", c.File, err)
		}
	case c.Review == nil && c.Want.Decision == Refused:
		return nil
	case c.Review == nil:
		return errors.New("has neither a review nor a file with one")
	}
	var err error
	if c.asked, err = parseReview(c.Review); err != nil {
		return fmt.Errorf("review: %w", err)
	}
	if _, admits := c.asked.(*write); c.NamespaceLabels != nil && !admits {
		return errors.New("namespaceLabels: are about reviews of the kind AdmissionReview")
	}
	if problems := metav1validation.ValidateLabels(c.NamespaceLabels, field.NewPath("namespaceLabels")); len(problems) > 0 {
		return problems[0]
	}
	return c.Want.fits(c.asked)
}

// fits refuses wants that would never be compared.
func (w *Want) fits(about asked) error {
	_, admits := about.(*write)
	_, authorizes := about.(*question)
	switch {
	case !admits && (w.Code != 0 || w.Warnings != nil && !authorizes || w.Object != nil || w.Absent != nil || w.Unchanged):
		return errors.New("want: code, object, absent, unchanged and warnings are about reviews of the kind AdmissionReview")
	case w.User != nil && (admits || authorizes):
		return errors.New("want.user: is about reviews of the kinds TokenReview and RequestReview")
	}
	return nil
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxFile:
		return nil, fmt.Errorf("%s is no file of at most %d MiB", path, maxFile>>20)
	}
	return os.ReadFile(path)
}

// decodeYAML reads YAML and takes no member that is not known or stands twice.
func decodeYAML(data []byte, into any) error {
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return err
	}
	return decode(asJSON, into)
}

func decode(data []byte, into any) error {
	unknown, err := kjson.UnmarshalStrict(data, into)
	if err == nil {
		err = errors.Join(unknown...)
	}
	if err != nil {
		return errors.New(strings.Join(strings.Fields(err.Error()), " "))
	}
	return nil
}
