package rego

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"
)

// timeBuiltins work on times, which are nanoseconds since 1970, and on quantities.
func timeBuiltins() map[string]builtin {
	return map[string]builtin{
		"time.parse_rfc3339_ns": of(1, func(args []any) (any, error) {
			s, err := text(args[0])
			if err != nil {
				return nil, err
			}
			t, err := time.Parse(time.RFC3339, s)
			if err != nil {
				return nil, err
			}
			return nanoseconds(t)
		}),
		"time.parse_duration_ns": of(1, func(args []any) (any, error) {
			s, err := text(args[0])
			if err != nil {
				return nil, err
			}
			d, err := time.ParseDuration(s)
			return number(int64(d)), err
		}),
		"time.date":         of(1, ofTime(func(t time.Time) any { return numbers(t.Year(), int(t.Month()), t.Day()) })),
		"time.clock":        of(1, ofTime(func(t time.Time) any { return numbers(t.Hour(), t.Minute(), t.Second()) })),
		"time.weekday":      of(1, ofTime(func(t time.Time) any { return t.Weekday().String() })),
		"time.add_date":     of(4, addDate),
		"time.format":       of(1, formatTime),
		"time.parse_ns":     of(2, parseTime),
		"time.diff":         of(2, timeBetween),
		"units.parse":       of(1, parseUnits),
		"units.parse_bytes": of(1, parseBytes),
	}
}

func numbers(all ...int) []any {
	list := make([]any, len(all))
	for i, n := range all {
		list[i] = number(int64(n))
	}
	return list
}

// nanoseconds fails for years that their number does not reach.
func nanoseconds(t time.Time) (any, error) {
	if t.Before(time.Unix(0, math.MinInt64)) || t.After(time.Unix(0, math.MaxInt64)) {
		return nil, fmt.Errorf("the time %s is outside of what nanoseconds reach", t)
	}
	return number(t.UnixNano()), nil
}

// timeAt reads a time: a number in UTC, or an array of a number and a zone, which must be UTC as there is no list of zones here.
func timeAt(value any) (time.Time, error) {
	if pair, ok := value.([]any); ok && len(pair) >= 1 {
		if len(pair) > 1 && pair[1] != "" && pair[1] != "UTC" {
			return time.Time{}, fmt.Errorf("the time zone %v is not known here, only UTC is", pair[1])
		}
		value = pair[0]
	}
	ns, err := whole(value)
	return time.Unix(0, ns).UTC(), err
}

func ofTime(f func(time.Time) any) func([]any) (any, error) {
	return func(args []any) (any, error) {
		t, err := timeAt(args[0])
		if err != nil {
			return nil, err
		}
		return f(t), nil
	}
}

func addDate(args []any) (any, error) {
	t, err := timeAt(args[0])
	if err != nil {
		return nil, err
	}
	var parts [3]int
	for i := range parts {
		n, err := whole(args[i+1])
		if err != nil {
			return nil, err
		}
		if n != int64(int32(n)) {
			return nil, fmt.Errorf("%d is too many", n)
		}
		parts[i] = int(n)
	}
	return nanoseconds(t.AddDate(parts[0], parts[1], parts[2]))
}

// layouts are the ways to write a time that have a name.
func layouts() map[string]string {
	return map[string]string{
		"ANSIC": time.ANSIC, "UnixDate": time.UnixDate, "RubyDate": time.RubyDate, "RFC822": time.RFC822, "RFC822Z": time.RFC822Z,
		"RFC850": time.RFC850, "RFC1123": time.RFC1123, "RFC1123Z": time.RFC1123Z, "RFC3339": time.RFC3339, "RFC3339Nano": time.RFC3339Nano,
	}
}

// formatTime is time.format(t), where t may be a number, an array of it and a zone, or of these and a layout.
func formatTime(args []any) (any, error) {
	layout := time.RFC3339Nano
	value := args[0]
	if list, ok := value.([]any); ok && len(list) == 3 {
		var err error
		if layout, err = text(list[2]); err != nil {
			return nil, err
		}
		value = list[:2]
	}
	t, err := timeAt(value)
	if err != nil {
		return nil, err
	}
	return t.Format(cmp.Or(layouts()[layout], layout)), nil
}

// parseTime is time.parse_ns(layout, text).
func parseTime(args []any) (any, error) {
	both, err := texts(args)
	if err != nil {
		return nil, err
	}
	t, err := time.Parse(cmp.Or(layouts()[both[0]], both[0]), both[1])
	if err != nil {
		return nil, err
	}
	return nanoseconds(t)
}

// timeBetween is time.diff(a, b): the years, months, days, hours, minutes and seconds from the sooner to the later.
func timeBetween(args []any) (any, error) {
	from, err := timeAt(args[0])
	if err != nil {
		return nil, err
	}
	to, err := timeAt(args[1])
	if err != nil {
		return nil, err
	}
	if from.After(to) {
		from, to = to, from
	}
	year, month, day := to.Year()-from.Year(), int(to.Month()-from.Month()), to.Day()-from.Day()
	hour, minute, second := to.Hour()-from.Hour(), to.Minute()-from.Minute(), to.Second()-from.Second()
	carry := func(small, large *int, size int) {
		if *small < 0 {
			*small, *large = *small+size, *large-1
		}
	}
	carry(&second, &minute, 60)
	carry(&minute, &hour, 60)
	carry(&hour, &day, 24)
	carry(&day, &month, time.Date(from.Year(), from.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()) // the days of from's month
	carry(&month, &year, 12)
	return numbers(year, month, day, hour, minute, second), nil
}

// plainUnits are those of units.parse: case tells milli from mega.
func plainUnits() map[string]*big.Rat {
	units := map[string]*big.Rat{"": big.NewRat(1, 1), "m": big.NewRat(1, 1000)}
	for i, letter := range "kmgtpe" {
		decimal, binary := scale(1000, i+1), scale(1024, i+1)
		upper := strings.ToUpper(string(letter))
		units[upper], units[upper+"i"] = decimal, binary
		if letter != 'm' {
			units[string(letter)] = decimal
		}
		units[string(letter)+"i"] = binary
	}
	return units
}

// byteUnits are those of units.parse_bytes, in lower case.
func byteUnits() map[string]*big.Rat {
	units := map[string]*big.Rat{"": big.NewRat(1, 1), "b": big.NewRat(1, 1)}
	for i, letter := range "kmgtpe" {
		decimal, binary := scale(1000, i+1), scale(1024, i+1)
		units[string(letter)], units[string(letter)+"b"] = decimal, decimal
		units[string(letter)+"i"], units[string(letter)+"ib"] = binary, binary
	}
	return units
}

func scale(base int64, exponent int) *big.Rat {
	return new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(base), big.NewInt(int64(exponent)), nil))
}

// parseUnits gives a whole number where the amount is one, and ten places otherwise.
func parseUnits(args []any) (any, error) {
	exact, err := quantity(args[0], plainUnits())
	if err != nil {
		return nil, err
	}
	if exact.IsInt() {
		return json.Number(exact.Num().String()), nil
	}
	return json.Number(exact.FloatString(10)), nil
}

// parseBytes leaves out what is less than a byte.
func parseBytes(args []any) (any, error) {
	exact, err := quantity(args[0], byteUnits())
	if err != nil {
		return nil, err
	}
	return json.Number(new(big.Int).Quo(exact.Num(), exact.Denom()).String()), nil
}

// quantity reads a number with a unit, such as 10Ki or 1.5GB.
func quantity(value any, units map[string]*big.Rat) (*big.Rat, error) {
	const longest = 64
	s, err := text(value)
	if err != nil {
		return nil, err
	}
	s = strings.Trim(s, `"`)
	end := strings.LastIndexAny(s, "0123456789.") + 1
	unit, known := units[s[end:]]
	if !known {
		unit, known = units[strings.ToLower(s[end:])]
	}
	amount := s[:end]
	if !known || len(amount) > longest || strings.Trim(amount, "+-.0123456789") != "" {
		return nil, fmt.Errorf("%.40q is no amount with a unit", s)
	}
	exact, ok := new(big.Rat).SetString(amount)
	if !ok {
		return nil, fmt.Errorf("%.40q is no amount with a unit", s)
	}
	return exact.Mul(exact, unit), nil
}
