package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/validation"
)

// value is a field of a Config as text. Every layer sets it in the same way, so that the same mistake gets the same answer
// in the file, in the environment and on the command line.
type value struct {
	// want says what a text must be: "a duration from 1s to 1h, such as 5m".
	want string
	// list is true if several texts can be set, each of which is as want says.
	list bool
	// truth is true if the value is true or false.
	truth bool
	// set parses texts into the field; of a value that is no list there is exactly one. The error is a *textError.
	set func(texts []string) error
	// texts returns the field so that set would restore it.
	texts func() []string
}

// textError is a text that a value cannot have. Reason is empty if the value's want says it all.
type textError struct {
	text   string
	reason string
}

func (e *textError) Error() string { return fmt.Sprintf("%q: %s", e.text, e.reason) }

// reason is a parser's error that tells more than what was wanted.
type reason string

func (r reason) Error() string { return string(r) }

var errUnwanted = errors.New("not what was wanted")

// wrong makes the textError for what a parser said about text.
func wrong(text string, err error) *textError {
	var told reason
	if errors.As(err, &told) {
		return &textError{text: text, reason: string(told)}
	}
	return &textError{text: text}
}

// scalar is a value that is one text.
func scalar[T any](field *T, want string, parse func(string) (T, error), format func(T) string) value {
	return value{
		want: want,
		set: func(texts []string) error {
			parsed, err := parse(texts[0])
			if err != nil {
				return wrong(texts[0], err)
			}
			*field = parsed
			return nil
		},
		texts: func() []string {
			text := format(*field)
			if text == "" {
				return nil
			}
			return []string{text}
		},
	}
}

// list is a value of several texts. Check, if not nil, looks at all of them together.
func list[T any](field *[]T, want string, parse func(string) (T, error), format func(T) string, check func([]T) error) value {
	return value{
		want: want,
		list: true,
		set: func(texts []string) error {
			parsed := make([]T, 0, len(texts))
			for _, text := range texts {
				item, err := parse(text)
				if err != nil {
					return wrong(text, err)
				}
				parsed = append(parsed, item)
			}
			if check != nil {
				if err := check(parsed); err != nil {
					return wrong(strings.Join(texts, ","), err)
				}
			}
			*field = parsed
			return nil
		},
		texts: func() []string {
			texts := make([]string, 0, len(*field))
			for _, item := range *field {
				texts = append(texts, format(item))
			}
			return texts
		},
	}
}

func same(text string) string { return text }

func pathValue(field *string) value {
	return scalar(field, "a path", func(text string) (string, error) {
		if text == "" || strings.ContainsRune(text, 0) {
			return "", errUnwanted
		}
		return text, nil
	}, same)
}

func hostPortValue(field *string) value {
	return scalar(field, "HOST:PORT, such as 127.0.0.1:6443, [::1]:6443 or :6443", func(text string) (string, error) {
		host, port, err := net.SplitHostPort(text)
		if err != nil || !isPort(port) {
			return "", errUnwanted
		}
		if host != "" && !isHost(host) {
			return "", errUnwanted
		}
		return text, nil
	}, same)
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// isHost is true for an IP address, with or without a zone, and for a DNS name.
func isHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	return isDNSName(text)
}

// isDNSName is false for what can only be a mistyped IPv4 address, which the rules for DNS names would let through.
func isDNSName(text string) bool {
	return len(validation.IsDNS1123Subdomain(strings.ToLower(text))) == 0 && strings.Trim(text, "0123456789.") != ""
}

func addressValue(field *netip.Addr) value {
	return scalar(field, "an IP address that other machines can reach", func(text string) (netip.Addr, error) {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" {
			return netip.Addr{}, errUnwanted
		}
		address = address.Unmap()
		if address.IsUnspecified() || address.IsMulticast() || address.IsLoopback() || address.IsLinkLocalUnicast() {
			return netip.Addr{}, errUnwanted
		}
		return address, nil
	}, func(address netip.Addr) string {
		// Loopback is what Load falls back to, not what anybody can set.
		if !address.IsValid() || address.IsLoopback() {
			return ""
		}
		return address.String()
	})
}

func namesValue(field *[]string) value {
	return list(field, "a DNS name, such as k8s.example.org or *.example.org, or an IP address", func(text string) (string, error) {
		if _, err := netip.ParseAddr(text); err == nil {
			return text, nil
		}
		if !isDNSName(strings.TrimPrefix(text, "*.")) {
			return "", errUnwanted
		}
		return strings.ToLower(text), nil
	}, same, nil)
}

// minServiceAddressBits is upstream's: fewer than eight addresses leave no room besides the Service default/kubernetes.
const minServiceAddressBits = 3

func serviceCIDRsValue(field *[]netip.Prefix) value {
	want := "a network of at least 8 addresses, such as 10.96.0.0/12, or one of each family"
	return list(field, want, func(text string) (netip.Prefix, error) {
		network, err := netip.ParsePrefix(text)
		if err != nil || network.Addr().Is4In6() {
			return netip.Prefix{}, errUnwanted
		}
		if masked := network.Masked(); masked != network {
			return netip.Prefix{}, reason(fmt.Sprintf("the network itself, which is %s", masked))
		}
		if network.Addr().BitLen()-network.Bits() < minServiceAddressBits {
			return netip.Prefix{}, errUnwanted
		}
		return network, nil
	}, netip.Prefix.String, func(networks []netip.Prefix) error {
		switch {
		case len(networks) == 1:
			return nil
		case len(networks) == 2 && networks[0].Addr().Is4() != networks[1].Addr().Is4():
			return nil
		default:
			return errUnwanted
		}
	})
}

func portRangeValue(field *utilnet.PortRange) value {
	return scalar(field, "a range of ports, such as 30000-32767", func(text string) (utilnet.PortRange, error) {
		ports, err := utilnet.ParsePortRange(text)
		if err != nil || ports.Base < 1 {
			return utilnet.PortRange{}, errUnwanted
		}
		return *ports, nil
	}, utilnet.PortRange.String)
}

func issuerValue(field *string) value {
	return scalar(field, "an https URL without query or fragment", func(text string) (string, error) {
		issuer, err := url.Parse(text)
		if err != nil || issuer.Scheme != "https" || issuer.Host == "" || issuer.User != nil ||
			strings.ContainsAny(text, "?# ") {
			return "", errUnwanted
		}
		return text, nil
	}, same)
}

func durationValue(field *time.Duration, low, high time.Duration) value {
	want := fmt.Sprintf("a duration from %s to %s, such as 90s or 5m", formatDuration(low), formatDuration(high))
	return scalar(field, want, func(text string) (time.Duration, error) {
		duration, err := time.ParseDuration(text)
		if err != nil || duration < low || duration > high {
			return 0, errUnwanted
		}
		return duration, nil
	}, formatDuration)
}

// formatDuration is Duration.String without the zero units at its end: 1h0m0s is 1h.
func formatDuration(d time.Duration) string {
	text := d.String()
	for _, unit := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, unit) {
			text = text[:len(text)-2]
		}
	}
	return text
}

func sizeValue(field *int64, low, high int64) value {
	want := fmt.Sprintf("a size from %s to %s, such as 3Mi", formatSize(low), formatSize(high))
	return scalar(field, want, func(text string) (int64, error) {
		quantity, err := resource.ParseQuantity(text)
		if err != nil {
			return 0, errUnwanted
		}
		size, whole := quantity.AsInt64()
		if !whole || size < low || size > high {
			return 0, errUnwanted
		}
		return size, nil
	}, formatSize)
}

func formatSize(size int64) string { return resource.NewQuantity(size, resource.BinarySI).String() }

func countValue(field *int, low, high int) value {
	return scalar(field, fmt.Sprintf("a whole number from %d to %d", low, high), func(text string) (int, error) {
		count, err := strconv.Atoi(text)
		if err != nil || count < low || count > high {
			return 0, errUnwanted
		}
		return count, nil
	}, strconv.Itoa)
}

func levelValue(field *slog.Level) value {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	format := func(level slog.Level) string { return strings.ToLower(level.String()) }
	return scalar(field, "debug, info, warn or error", func(text string) (slog.Level, error) {
		for _, level := range levels {
			if format(level) == text {
				return level, nil
			}
		}
		return 0, errUnwanted
	}, format)
}

func formatValue(field *LogFormat) value {
	return scalar(field, "auto, text or json", func(text string) (LogFormat, error) {
		switch format := LogFormat(text); format {
		case LogAuto, LogText, LogJSON:
			return format, nil
		default:
			return "", errUnwanted
		}
	}, func(format LogFormat) string { return string(format) })
}
