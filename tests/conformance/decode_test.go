package conformance

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"sigs.k8s.io/yaml"
)

// readJSON reads values until the end, or so many of them.
func readJSON(body io.Reader, atMost int) ([]any, error) {
	documents := []any{}
	decoder := json.NewDecoder(body)
	decoder.UseNumber()
	for atMost == 0 || len(documents) < atMost {
		var document any
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		documents = append(documents, document)
	}
	return documents, nil
}

func readYAML(body io.Reader) ([]any, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	encoded, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	return readJSON(bytes.NewReader(encoded), 0)
}

func readProtobuf(body io.Reader) ([]any, error) {
	content, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	document, err := fromProtobuf(content)
	return []any{document}, err
}

func readProtobufEvents(body io.ReadCloser, atMost int) ([]any, error) {
	documents := []any{}
	frames := protobuf.LengthDelimitedFramer.NewFrameReader(body)
	buffer := make([]byte, 1<<20)
	for atMost == 0 || len(documents) < atMost {
		n, err := frames.Read(buffer)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var event metav1.WatchEvent // which, unlike objects, comes without an envelope
		if err := event.Unmarshal(buffer[:n]); err != nil {
			return nil, err
		}
		object, err := fromProtobuf(event.Object.Raw)
		if err != nil {
			return nil, err
		}
		documents = append(documents, map[string]any{"type": event.Type, "object": object})
	}
	return documents, nil
}

// openEnvelope reads what stands around a protobuf object of Kubernetes.
func openEnvelope(content []byte) (runtime.Unknown, error) {
	const magic = "k8s\x00"
	var envelope runtime.Unknown
	if !bytes.HasPrefix(content, []byte(magic)) {
		return envelope, fmt.Errorf("no protobuf object of Kubernetes: %.40q", content)
	}
	return envelope, envelope.Unmarshal(content[len(magic):])
}

// fromProtobuf decodes an object as JSON would show it. Kind and version are what the envelope says, even if that is nothing.
func fromProtobuf(content []byte) (any, error) {
	envelope, err := openEnvelope(content)
	if err != nil {
		return nil, err
	}
	object, _, err := protobufSerializer.Decode(content, &schema.GroupVersionKind{Version: "v1"}, nil)
	if err != nil {
		return nil, err
	}
	object.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(envelope.APIVersion, envelope.Kind))
	encoded, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	documents, err := readJSON(bytes.NewReader(encoded), 1)
	if err != nil {
		return nil, err
	}
	return documents[0], nil
}

// readFrames reads the messages of a websocket, each of which is a JSON value, until it ends or so many of them.
func readFrames(body io.Reader, atMost int) ([]any, error) {
	documents := []any{}
	for atMost == 0 || len(documents) < atMost {
		code, payload, err := readFrame(body)
		if errors.Is(err, io.EOF) || code == closeFrame {
			break
		}
		if err != nil {
			return nil, err
		}
		values, err := readJSON(bytes.NewReader(payload), 1)
		if err != nil {
			return nil, fmt.Errorf("read the message %q: %w", payload, err)
		}
		documents = append(documents, values...)
	}
	return documents, nil
}

// closeFrame is the code of the frame that ends a websocket.
const closeFrame = 8

// readFrame reads one frame from a server, which does not mask.
func readFrame(body io.Reader) (code byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(body, head[:]); err != nil {
		return 0, nil, err
	}
	size := uint64(head[1])
	switch size {
	case 126: // the size follows in two bytes
		var short uint16
		err = binary.Read(body, binary.BigEndian, &short)
		size = uint64(short)
	case 127: // in eight
		err = binary.Read(body, binary.BigEndian, &size)
	}
	if err != nil {
		return 0, nil, err
	}
	if size > 16<<20 {
		return 0, nil, fmt.Errorf("a frame of %d bytes", size)
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(body, payload)
	return head[0] & 0xf, payload, err
}
