package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"
)

const (
	jsonType     = "application/json"
	yamlType     = "application/yaml"
	protobufType = "application/vnd.kubernetes.protobuf"

	// patience bounds one request.
	patience = time.Minute
	// interval is between requests that wait for a status.
	interval = 200 * time.Millisecond
)

// client sends steps to a server.
type client struct {
	http      *http.Client
	http1     *http.Client // for upgrades, which HTTP/2 does not have
	anonymous *http.Client // without the administrator's certificate
	base      string       // https://host:port
}

func (c client) port() string { return c.base[strings.LastIndex(c.base, ":")+1:] }

// sendUntil sends a step, again and again if it waits for a status.
func (c client) sendUntil(ctx context.Context, s step, vars variables) (a *answer, err error) {
	err = wait.PollUntilContextTimeout(ctx, interval, patience, true, func(ctx context.Context) (bool, error) {
		a, err = c.send(ctx, s, vars)
		return s.until == 0 || (err == nil && a.status == s.until), err
	})
	return a, err
}

// send sends a step and reads its answer.
func (c client) send(ctx context.Context, s step, vars variables) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := c.request(ctx, s, vars)
	if err != nil {
		return nil, err
	}
	through := c.http
	switch {
	case s.anonymous:
		through = c.anonymous
	case request.Header.Get("Upgrade") != "":
		through = c.http1
	}
	response, err := through.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return readAnswer(response, s)
}

func (c client) request(ctx context.Context, s step, vars variables) (*http.Request, error) {
	path, err := vars.fill(s.path)
	if err != nil {
		return nil, err
	}
	text, err := vars.fill(s.body)
	if err != nil {
		return nil, err
	}
	body, contentType, err := s.encode(text)
	if err != nil {
		return nil, fmt.Errorf("encode the body: %w", err)
	}
	var content io.Reader
	if len(body) > 0 {
		content = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, s.method, c.base+path, content)
	if err != nil {
		return nil, err
	}
	for key, values := range s.header {
		for _, value := range values {
			if value, err = vars.fill(value); err != nil {
				return nil, err
			}
			request.Header.Add(key, value)
		}
	}
	request.Header.Del("Content-Type")
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	return request, nil
}

// encode turns a body as it is written in cases to what is sent.
func (s step) encode(text string) (body []byte, contentType string, err error) {
	given, explicit := s.header["Content-Type"]
	if explicit {
		contentType = given[0]
	}
	switch {
	case s.verbatim, text == "":
		return []byte(text), contentType, nil
	case !explicit:
		body, err = yaml.YAMLToJSONStrict([]byte(text))
		return body, jsonType, err
	case strings.HasPrefix(contentType, protobufType):
		body, err = toProtobuf([]byte(text))
		return body, contentType, err
	default:
		return []byte(text), contentType, nil
	}
}

func toProtobuf(text []byte) ([]byte, error) {
	object, err := runtime.Decode(codecs.UniversalDeserializer(), text)
	if err != nil {
		return nil, err
	}
	return runtime.Encode(protobufSerializer, object)
}
