package rego

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// textBuiltins search and change strings.
func textBuiltins() map[string]builtin {
	return map[string]builtin{
		"glob.quote_meta":          ofText(func(s string) (string, error) { return quoteGlob(s), nil }),
		"regex.split":              {2, regexSplit},
		"regex.replace":            {3, regexReplace},
		"regex.find_n":             {3, regexFind},
		"strings.any_prefix_match": {2, anyMatch(strings.HasPrefix)},
		"strings.any_suffix_match": {2, anyMatch(strings.HasSuffix)},
		"strings.count":            {2, countText},
		"indexof_n":                {2, indexes},
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

// pattern compiles an argument. Go's and OPA's expressions are the same, and take time in proportion to the text.
func pattern(value any) (*regexp.Regexp, error) {
	s, err := text(value)
	if err != nil {
		return nil, err
	}
	return regexp.Compile(s)
}

func regexSplit(args []any) (any, error) {
	p, err := pattern(args[0])
	if err != nil {
		return nil, err
	}
	s, err := text(args[1])
	if err != nil {
		return nil, err
	}
	return listOf(p.Split(s, -1)), nil
}

// regexReplace is regex.replace(s, pattern, value), where $1 in value is what the first group has matched.
func regexReplace(args []any) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, err
	}
	p, err := pattern(args[1])
	if err != nil {
		return nil, err
	}
	value, err := text(args[2])
	if err != nil {
		return nil, err
	}
	var out []byte
	end := 0
	for _, match := range p.FindAllStringSubmatchIndex(s, -1) {
		out = p.ExpandString(append(out, s[end:match[0]]...), value, s, match)
		if end = match[1]; len(out) > maxText {
			return nil, errLong
		}
	}
	return string(append(out, s[end:]...)), nil
}

// regexFind is regex.find_n(pattern, s, n).
func regexFind(args []any) (any, error) {
	p, err := pattern(args[0])
	if err != nil {
		return nil, err
	}
	s, err := text(args[1])
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

// indexes finds all places of one string in another, counted in characters; places may overlap.
func indexes(args []any) (any, error) {
	both, err := texts(args)
	if err != nil {
		return nil, err
	}
	if both[1] == "" {
		return nil, errors.New("there is no end of empty strings in a string")
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
