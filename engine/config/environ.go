package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const (
	variablePrefix = "GATEHOUSE_"
	// fileVariable names the file where no --config does.
	fileVariable = variablePrefix + "CONFIG"
)

// readEnviron reads the GATEHOUSE_ variables into a layer. An empty variable is as good as none, because that is how
// compose files and unit files leave things out.
func readEnviron(table []key, environ []string) (layer, error) {
	byVariable := make(map[string]key, len(table))
	names := []string{fileVariable[len(variablePrefix):]}
	for _, k := range table {
		byVariable[k.variable()] = k
		names = append(names, k.variable()[len(variablePrefix):])
	}
	read := newLayer()
	var errs []error
	for _, setting := range environ {
		name, text, _ := strings.Cut(setting, "=")
		if !strings.HasPrefix(name, variablePrefix) || name == fileVariable || text == "" || isServiceLink(name, text) {
			continue
		}
		k, known := byVariable[name]
		if !known {
			errs = append(errs, unknownVariable(name, names))
			continue
		}
		read.add(k.path, splitTexts(text, k.value.list), origin{where: name})
	}
	return read, errors.Join(errs...)
}

// unknownVariable compares without the prefix, which would make every variable look near to every other.
func unknownVariable(name string, known []string) error {
	if nearest := Nearest(name[len(variablePrefix):], known); nearest != "" {
		return fmt.Errorf("unknown variable %s; did you mean %s?", name, variablePrefix+nearest)
	}
	return fmt.Errorf("unknown variable %s; unset it, or see `gatehouse help serve` for those there are", name)
}

// splitTexts makes the texts of a value from one of the command line or the environment.
func splitTexts(text string, isList bool) []string {
	if !isList {
		return []string{text}
	}
	texts := strings.Split(text, ",")
	for i := range texts {
		texts[i] = strings.TrimSpace(texts[i])
	}
	return slices.DeleteFunc(texts, func(text string) bool { return text == "" })
}

// isServiceLink recognises the variables that the kubelet sets in every container for a Service: a server that runs in a
// pod beside a Service called "gatehouse" finds GATEHOUSE_SERVICE_HOST, GATEHOUSE_PORT_6443_TCP and more.
func isServiceLink(name, text string) bool {
	const (
		service = `_SERVICE_(HOST|PORT(_\w+)?)$`
		detail  = `_PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)$`
		port    = `_PORT(_\d+_(TCP|UDP|SCTP))?$`
		url     = `^(tcp|udp|sctp)://`
	)
	matches := func(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }
	// GATEHOUSE_LISTEN_PORT=6443 is a mistake, GATEHOUSE_LISTEN_PORT=tcp://10.96.0.7:6443 is the kubelet's.
	return matches(service, name) || matches(detail, name) || matches(port, name) && matches(url, text)
}

// lookup returns the last value of the variable called name, as the shell would.
func lookup(environ []string, name string) string {
	for _, setting := range slices.Backward(environ) {
		if text, found := strings.CutPrefix(setting, name+"="); found {
			return text
		}
	}
	return ""
}
