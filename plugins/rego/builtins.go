package rego

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// builtin is a function of Rego that OPA leaves to the host. An error makes the expression undefined, as in OPA.
type builtin struct {
	// arity is how many arguments it takes.
	arity int
	call  func(args []any) (any, error)
	// ask is there instead of call where the function asks somebody, by the end of ctx.
	ask func(ctx context.Context, args []any) (any, error)
}

// answer calls the function.
func (b builtin) answer(ctx context.Context, args []any) (any, error) {
	if b.ask != nil {
		return b.ask(ctx, args)
	}
	return b.call(args)
}

// clock tells functions what they need to know of the evaluation they are called in.
type clock struct {
	// now is the evaluation's time: it stands still.
	now func() time.Time
	// late reports whether the policy should have ended.
	late func() bool
}

// builtins are the functions of this host that compute and do nothing else.
func builtins(c clock) map[string]builtin {
	all := map[string]builtin{
		"sprintf":     of(2, sprintf),
		"trace":       of(1, func([]any) (any, error) { return true, nil }),
		"opa.runtime": of(0, func([]any) (any, error) { return object{}, nil }),
		"time.now_ns": of(0, func([]any) (any, error) { return number(c.now().UnixNano()), nil }),
	}
	for _, group := range []map[string]builtin{
		textBuiltins(c.late), encodingBuiltins(), timeBuiltins(), versionBuiltins(), networkBuiltins(), collectionBuiltins(),
	} {
		for name, b := range group {
			all[name] = b
		}
	}
	return all
}

// of makes a builtin of a function of so many arguments.
func of(arity int, call func([]any) (any, error)) builtin { return builtin{arity: arity, call: call} }

// text expects a string.
func text(value any) (string, error) {
	if s, ok := value.(string); ok {
		return s, nil
	}
	return "", fmt.Errorf("an argument is %s, not string", kindOf(value))
}

// texts expects a string, or a list or set of strings.
func texts(value any) ([]string, error) {
	var list []any
	switch v := value.(type) {
	case []any:
		list = v
	case set:
		list = v
	default:
		list = []any{value}
	}
	all := make([]string, len(list))
	for i, element := range list {
		var err error
		if all[i], err = text(element); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// whole expects a whole number.
func whole(value any) (int64, error) {
	n, ok := value.(json.Number)
	if !ok {
		return 0, fmt.Errorf("an argument is %s, not number", kindOf(value))
	}
	return n.Int64()
}

func number(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

// ofText makes a builtin of a function from a string to a string.
func ofText(f func(string) (string, error)) builtin {
	return of(1, func(args []any) (any, error) {
		s, err := text(args[0])
		if err != nil {
			return nil, err
		}
		out, err := f(s)
		if err != nil {
			return nil, err
		}
		return out, nil
	})
}

// isText makes a builtin of a test of strings; what is no string does not pass.
func isText(f func(string) bool) builtin {
	return of(1, func(args []any) (any, error) {
		s, ok := args[0].(string)
		return ok && f(s), nil
	})
}

// versionBuiltins compare versions by the rules of semver.org.
func versionBuiltins() map[string]builtin {
	return map[string]builtin{
		"semver.is_valid": isText(func(s string) bool { _, err := parseVersion(s); return err == nil }),
		"semver.compare": of(2, func(args []any) (any, error) {
			both, err := texts(args)
			if err != nil {
				return nil, err
			}
			a, err := parseVersion(both[0])
			if err != nil {
				return nil, err
			}
			b, err := parseVersion(both[1])
			if err != nil {
				return nil, err
			}
			return number(int64(a.compare(b))), nil
		}),
	}
}

// version is one of semantic versioning; what comes after + says nothing about its order.
type version struct {
	core       []string
	prerelease []string
}

func parseVersion(s string) (version, error) {
	wrong := fmt.Errorf("%.40q is no semantic version", s)
	s, build, hasBuild := strings.Cut(s, "+")
	core, prerelease, hasPrerelease := strings.Cut(s, "-")
	v := version{core: strings.Split(core, ".")}
	if len(v.core) != 3 || hasBuild && !identifiers(strings.Split(build, ".")) {
		return version{}, wrong
	}
	for _, n := range v.core {
		if !digits(n) || len(n) > 1 && n[0] == '0' {
			return version{}, wrong
		}
	}
	if hasPrerelease {
		if v.prerelease = strings.Split(prerelease, "."); !identifiers(v.prerelease) {
			return version{}, wrong
		}
	}
	return v, nil
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func identifiers(list []string) bool {
	return !slices.ContainsFunc(list, func(s string) bool {
		return s == "" || strings.ContainsFunc(s, func(r rune) bool {
			return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		})
	})
}

// compare is -1, 0 or 1 as v is before, like or after other.
func (v version) compare(other version) int {
	if order := slices.CompareFunc(v.core, other.core, compareNumbers); order != 0 {
		return order
	}
	if len(v.prerelease) == 0 || len(other.prerelease) == 0 { // a release comes after its candidates
		return min(len(other.prerelease), 1) - min(len(v.prerelease), 1)
	}
	return slices.CompareFunc(v.prerelease, other.prerelease, func(a, b string) int {
		switch {
		case digits(a) && digits(b):
			return compareNumbers(a, b)
		case digits(a):
			return -1
		case digits(b):
			return 1
		}
		return strings.Compare(a, b)
	})
}

// compareNumbers compares numbers of any length.
func compareNumbers(a, b string) int {
	if order := len(a) - len(b); order != 0 {
		return max(-1, min(order, 1))
	}
	return strings.Compare(a, b)
}
