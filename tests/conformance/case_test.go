package conformance

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// testCase is one file of requests.
type testCase struct {
	name  string
	text  string // as it stands in the file
	steps []step
	// forgetful wants a server that keeps the past for a moment only.
	forgetful bool
}

// namespace is where the case's objects are.
func (c testCase) namespace() string { return "case-" + c.name }

func (c testCase) golden() string { return filepath.Join(casesDir, c.name+".golden") }

// step is one request. Its strings may hold {{variables}}.
type step struct {
	title        string
	method, path string
	header       http.Header
	body         string

	captures      []capture
	events        int // of a watch to wait for; 0 waits for the end
	until         int // the status to repeat the request for; 0 takes any
	raw, verbatim bool
	anonymous     bool
}

// capture says what of an answer to keep, and under which name.
type capture struct{ name, path string }

const casesDir = "cases"

// readCases reads all of them, in the order of their names.
func readCases() ([]testCase, error) {
	files, err := filepath.Glob(filepath.Join(casesDir, "*.http"))
	if err != nil {
		return nil, err
	}
	cases := make([]testCase, 0, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		c := testCase{name: strings.TrimSuffix(filepath.Base(file), ".http"), text: string(text)}
		preamble, _, _ := strings.Cut(c.text, titleMark)
		c.forgetful = slices.Contains(strings.Split(preamble, "\n"), "# @forgetful")
		if c.steps, err = parse(c.text); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		cases = append(cases, c)
	}
	return cases, nil
}

const titleMark = "### "

func parse(text string) ([]step, error) {
	preamble, rest, found := strings.Cut("\n"+text, "\n"+titleMark)
	for line := range strings.Lines(preamble) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return nil, fmt.Errorf("%q stands before the first %q", line, titleMark)
		}
	}
	if !found {
		return nil, fmt.Errorf("there is no %q", titleMark)
	}
	var steps []step
	titles := map[string]bool{}
	for part := range strings.SplitSeq(rest, "\n"+titleMark) {
		s, err := parseStep(part)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.title, err)
		}
		if titles[s.title] {
			return nil, fmt.Errorf("two steps are called %q", s.title)
		}
		titles[s.title] = true
		steps = append(steps, s)
	}
	return steps, nil
}

// parseStep reads a title, directives, a request line, headers, an empty line and a body.
func parseStep(text string) (step, error) {
	s := step{header: http.Header{}}
	s.title, text, _ = strings.Cut(text, "\n")
	for strings.HasPrefix(text, "#") {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		if err := s.direct(line); err != nil {
			return s, err
		}
	}
	head, body, _ := strings.Cut(text, "\n\n")
	s.body = strings.TrimRight(body, "\n")
	request, headers, _ := strings.Cut(strings.TrimRight(head, "\n"), "\n")
	var ok bool
	if s.method, s.path, ok = strings.Cut(request, " "); !ok || !strings.HasPrefix(s.path, "/") {
		return s, fmt.Errorf("%q is no request line, such as GET /api", request)
	}
	for line := range strings.Lines(headers) {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return s, fmt.Errorf("%q is no header", line)
		}
		s.header.Add(key, strings.TrimSpace(value))
	}
	return s, nil
}

func (s *step) direct(line string) (err error) {
	words := strings.Fields(strings.TrimPrefix(line, "#"))
	switch {
	case len(words) == 0 || !strings.HasPrefix(words[0], "@"):
		return nil // a comment
	case words[0] == "@capture" && len(words) == 3:
		s.captures = append(s.captures, capture{name: words[1], path: words[2]})
	case words[0] == "@events" && len(words) == 2:
		s.events, err = strconv.Atoi(words[1])
	case words[0] == "@until" && len(words) == 2:
		s.until, err = strconv.Atoi(words[1])
	case words[0] == "@raw" && len(words) == 1:
		s.raw = true
	case words[0] == "@verbatim" && len(words) == 1:
		s.verbatim = true
	case words[0] == "@anonymous" && len(words) == 1:
		s.anonymous = true
	default:
		return fmt.Errorf("%q is no directive", line)
	}
	return err
}

// variables are what {{name}} stands for.
type variables map[string]string

var variablePattern = regexp.MustCompile(`\{\{(\w+)(?: (\d+))?\}\}`)

// fill replaces the variables in text.
func (v variables) fill(text string) (string, error) {
	var failure error
	filled := variablePattern.ReplaceAllStringFunc(text, func(match string) string {
		parts := variablePattern.FindStringSubmatch(match)
		if parts[1] == "fill" {
			n, err := strconv.Atoi(parts[2])
			failure = err
			return strings.Repeat("x", n)
		}
		value, ok := v[parts[1]]
		if !ok {
			failure = fmt.Errorf("%s was not captured", match)
		}
		return value
	})
	return filled, failure
}
