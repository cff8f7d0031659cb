package rego

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"gatehouse/plugins/sandbox"
)

// textBuiltins search and change strings, and end when it is late.
func textBuiltins(late func() bool) map[string]builtin {
	regex := searcher{late: late}
	return map[string]builtin{
		"glob.quote_meta":          ofText(func(s string) (string, error) { return quoteGlob(s), nil }),
		"regex.split":              of(2, regex.split),
		"regex.replace":            of(3, regex.replace),
		"regex.find_n":             of(3, regex.find),
		"strings.any_prefix_match": of(2, anyMatch(strings.HasPrefix)),
		"strings.any_suffix_match": of(2, anyMatch(strings.HasSuffix)),
		"strings.count":            of(2, countText),
		"indexof_n":                of(2, indexes),
	}
}

// quoteGlob makes a pattern that matches s alone.
func quoteGlob(s string) string {
	var out strings.Builder
	for _, r := range s {
		if strings.ContainsRune(`*?\[]{}`, r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}

// searcher looks for regular expressions, which are Go's as OPA's are.
type searcher struct{ late func() bool }

// maxSteps bounds one search, which takes as many steps as the expression has instructions for each byte: some 0.2 s.
const maxSteps = 10_000_000

// pattern compiles an expression to look for in s. It makes sure that all of it can be found in time; finding it again takes as
// long once more.
func (f searcher) pattern(expression, subject any) (p *regexp.Regexp, s string, err error) {
	both, err := texts([]any{expression, subject})
	if err != nil {
		return nil, "", err
	}
	tree, err := syntax.Parse(both[0], syntax.Perl)
	if err != nil {
		return nil, "", err
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, "", err
	}
	if len(program.Inst)*len(both[1]) > maxSteps {
		return nil, "", fmt.Errorf("an expression of %d steps is too much for a text of %d bytes", len(program.Inst), len(both[1]))
	}
	if p, err = regexp.Compile(both[0]); err != nil {
		return nil, "", err
	}
	p.ReplaceAllStringFunc(both[1], func(string) string {
		if f.late() {
			panic(sandbox.Faultf(sandbox.Overdue, "the policy was still searching a text when its time was up"))
		}
		return ""
	})
	return p, both[1], nil
}

func (f searcher) split(args []any) (any, error) {
	p, s, err := f.pattern(args[0], args[1])
	if err != nil {
		return nil, err
	}
	return listOf(p.Split(s, -1)), nil
}

// replace is regex.replace(s, pattern, value), where $1 in value is what the first group has matched.
func (f searcher) replace(args []any) (any, error) {
	p, s, err := f.pattern(args[1], args[0])
	if err != nil {
		return nil, err
	}
	value, err := text(args[2])
	if err != nil {
		return nil, err
	}
	var out []byte
	end, groups := 0, strings.Count(value, "$")
	for _, match := range p.FindAllStringSubmatchIndex(s, -1) {
		if len(out)+len(value)+groups*(match[1]-match[0]) > maxText {
			return nil, errLong
		}
		out = p.ExpandString(append(out, s[end:match[0]]...), value, s, match)
		end = match[1]
	}
	return string(append(out, s[end:]...)), nil
}

// find is regex.find_n(pattern, s, n).
func (f searcher) find(args []any) (any, error) {
	p, s, err := f.pattern(args[0], args[1])
	if err != nil {
		return nil, err
	}
	n, err := whole(args[2])
	if err != nil {
		return nil, err
	}
	return listOf(p.FindAllString(s, int(n))), nil
}

// anyMatch tells whether one of some strings has one of some affixes. It looks at them in pairs, so that there may be few only.
func anyMatch(has func(s, affix string) bool) func([]any) (any, error) {
	const maxPairs = 1 << 20
	return func(args []any) (any, error) {
		all, err := texts(args[0])
		if err != nil {
			return nil, err
		}
		affixes, err := texts(args[1])
		if err != nil {
			return nil, err
		}
		if len(all)*len(affixes) > maxPairs {
			return nil, fmt.Errorf("%d strings and %d affixes are too many", len(all), len(affixes))
		}
		for _, s := range all {
			for _, affix := range affixes {
				if has(s, affix) {
					return true, nil
				}
			}
		}
		return false, nil
	}
}

func countText(args []any) (any, error) {
	both, err := texts(args)
	if err != nil {
		return nil, err
	}
	return number(int64(strings.Count(both[0], both[1]))), nil
}

// maxCompared bounds how many bytes are compared to find a text in another, at worst: some 10 ms.
const maxCompared = 100_000_000

// indexes finds all places of one string in another, counted in characters; places may overlap.
func indexes(args []any) (any, error) {
	both, err := texts(args)
	if err != nil {
		return nil, err
	}
	if both[1] == "" {
		return nil, errors.New("there is no end of empty strings in a string")
	}
	if len(both[0])*len(both[1]) > maxCompared {
		return nil, fmt.Errorf("a text of %d bytes is too long to find %d bytes in it", len(both[0]), len(both[1]))
	}
	at := []any{}
	place := int64(0)
	for i := range both[0] {
		if strings.HasPrefix(both[0][i:], both[1]) {
			at = append(at, number(place))
		}
		place++
	}
	return at, nil
}

func listOf(all []string) []any {
	list := make([]any, len(all))
	for i, s := range all {
		list[i] = s
	}
	return list
}
