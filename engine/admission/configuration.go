package admission

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"sigs.k8s.io/yaml"
)

// configured is what members are configured with, by their names. It is an admission.ConfigProvider.
type configured map[string][]byte

var _ admission.ConfigProvider = configured(nil)

// ConfigFor implements admission.ConfigProvider: nil for a member that is not configured.
func (c configured) ConfigFor(name string) (io.Reader, error) {
	config, ok := c[name]
	if !ok {
		return nil, nil
	}
	return bytes.NewReader(config), nil
}

func (c configured) has(name string) bool { return c[name] != nil }

// readConfiguration reads an AdmissionConfiguration and the files that it names, whose paths start at its directory. Upstream's own
// reader ends the process when one of those is missing. As there, ImagePolicyWebhook and PodNodeSelector can be configured by a file
// of their own form instead.
func readConfiguration(path string) (configured, error) {
	if path == "" {
		return nil, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read admission.configFile: %w", err)
	}
	config, err := parseConfiguration(content, path)
	if err != nil {
		return nil, fmt.Errorf("read admission.configFile %s: %w", path, err)
	}
	return config, nil
}

func parseConfiguration(content []byte, path string) (configured, error) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	object, err := runtime.Decode(serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder(), content)
	if err != nil {
		if legacy := legacyConfiguration(content); legacy != nil && !runtime.IsStrictDecodingError(err) {
			return legacy, nil
		}
		return nil, err
	}
	file, ok := object.(*apiserver.AdmissionConfiguration)
	if !ok {
		return nil, fmt.Errorf("it holds %s, want AdmissionConfiguration of apiserver.config.k8s.io/v1", object.GetObjectKind().GroupVersionKind().Kind)
	}
	config := configured{}
	for _, plugin := range file.Plugins {
		switch {
		case config[plugin.Name] != nil:
			return nil, fmt.Errorf("it configures %s twice; leave one of them out", plugin.Name)
		case plugin.Configuration != nil:
			config[plugin.Name] = plugin.Configuration.Raw
		case plugin.Path != "":
			at := plugin.Path
			if !filepath.IsAbs(at) {
				at = filepath.Join(filepath.Dir(path), at)
			}
			if config[plugin.Name], err = os.ReadFile(at); err != nil {
				return nil, fmt.Errorf("read the configuration of %s: %w", plugin.Name, err)
			}
		}
	}
	return config, nil
}

// legacyConfiguration is that of members which had files of their own before there was AdmissionConfiguration; nil if it is none.
func legacyConfiguration(content []byte) configured {
	var keys map[string]any
	if yaml.Unmarshal(content, &keys) != nil || keys["kind"] != nil {
		return nil
	}
	for key, name := range map[string]string{"imagePolicy": "ImagePolicyWebhook", "podNodeSelectorPluginConfig": "PodNodeSelector"} {
		if keys[key] != nil {
			return configured{name: content}
		}
	}
	return nil
}

// checkConfigured finds what the configuration says of members that there are not, and tells of those that are not asked.
func (b *builder) checkConfigured() error {
	var errs []error
	for name := range b.configured {
		switch {
		case !slices.Contains(b.upstream.Registered(), name):
			errs = append(errs, fmt.Errorf("read admission.configFile %s: there is no admission plugin %q, want one of %s",
				b.config.ConfigFile, name, strings.Join(b.upstream.Registered(), ", ")))
		case !slices.Contains(b.config.Members, name):
			b.config.Logger.Warn("admission.configFile configures a member that is not asked; list it in admission.enable",
				"file", b.config.ConfigFile, "member", name)
		}
	}
	return errors.Join(errs...)
}
