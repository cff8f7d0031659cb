// Command registry-mirror is a gatehouse plugin: Pods get their images from mirrors of the registries they name.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	gatehouse "gatehouse/sdk/go"
	"gatehouse/sdk/go/admission"
)

// mirrors are set in registry-mirror.yaml: a registry's name, and what stands in its place, such as mirror.example.org/hub.
var mirrors map[string]string

func init() {
	gatehouse.OnConfigure(configure)
	admission.Handle(mirror)
}

func configure(b []byte) error {
	var settings struct {
		Mirrors map[string]string `json:"mirrors"`
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&settings); err != nil {
		return err
	}
	if len(settings.Mirrors) == 0 {
		return errors.New(`mirrors: names no registry; set one, as in mirrors: {docker.io: mirror.example.org/hub}`)
	}
	for registry, target := range settings.Mirrors {
		if target == "" || strings.Contains(target, "://") || strings.HasSuffix(target, "/") {
			return fmt.Errorf("mirrors: %s: %q must be a registry's name, and a path if need be, without scheme and last slash",
				registry, target)
		}
	}
	mirrors = settings.Mirrors
	return nil
}

// mirror patches all that a Pod pulls.
func mirror(r *admission.Request) *admission.Response {
	response := admission.Allow()
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		rewrite(r, response, list, "image")
	}
	rewrite(r, response, "volumes", "image", "reference")
	return response
}

// rewrite patches the images of a list in the Pod's spec. What an update leaves as it was stays, for a container is started
// anew when its image changes.
func rewrite(r *admission.Request, response *admission.Response, list string, path ...string) {
	for i := 0; ; i++ {
		element := []string{"spec", list, strconv.Itoa(i)}
		place := append(element, path...)
		image := r.Object(place...).Text()
		if image == "" {
			if !r.Object(element...).Exists() {
				return
			}
			continue
		}
		mirrored := mirrorOf(image)
		if mirrored != image && image != r.OldObject(place...).Text() {
			value, _ := json.Marshal(mirrored) // a string always can be
			response.Patch("replace", gatehouse.Pointer(place...), string(value))
		}
	}
}

// mirrorOf is the image in the mirror of its registry, or the image itself when that has none.
func mirrorOf(image string) string {
	registry, rest := split(image)
	target, ok := mirrors[registry]
	if !ok || strings.HasPrefix(image, target+"/") {
		return image
	}
	return target + "/" + rest
}

// split takes an image's name apart as container runtimes do: "nginx" is docker.io's "library/nginx".
func split(image string) (registry, rest string) {
	first, rest, found := strings.Cut(image, "/")
	if !found {
		return "docker.io", "library/" + image
	}
	named := strings.ContainsAny(first, ".:") || first == "localhost" || strings.ToLower(first) != first
	switch {
	case !named:
		return "docker.io", image
	case first == "index.docker.io" || first == "docker.io":
		if !strings.Contains(rest, "/") {
			rest = "library/" + rest
		}
		return "docker.io", rest
	}
	return first, rest
}

func main() {}
