package admission

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigurationsOfMembersAreFoundWhereTheFileSays(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "quota.yaml"), []byte("beside"), 0o600); err != nil {
		t.Fatal(err)
	}
	const head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"
	for name, test := range map[string]struct{ file, member, want, fails string }{
		"in the file":                   {head + "- {name: PodSecurity, configuration: {kind: X}}", "PodSecurity", `{"kind":"X"}`, ""},
		"beside the file":               {head + "- {name: ResourceQuota, path: quota.yaml}", "ResourceQuota", "beside", ""},
		"in the form of before":         {"imagePolicy: {}", "ImagePolicyWebhook", "imagePolicy: {}", ""},
		"nowhere":                       {head + "- {name: ResourceQuota, path: gone.yaml}", "", "", "read the configuration of ResourceQuota: open "},
		"twice":                         {head + "- {name: A, configuration: {}}\n- {name: A, configuration: {}}", "", "", "it configures A twice"},
		"under a key that there is not": {head + "- {name: A, config: {}}", "", "", `unknown field "plugins[0].config"`},
		"in something else":             {"apiVersion: v1\nkind: Pod", "", "", `no kind "Pod" is registered`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "admission.yaml")
			if strings.Contains(test.file, ".yaml") {
				path = filepath.Join(dir, "admission.yaml")
			}
			if err := os.WriteFile(path, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			config, err := readConfiguration(path)
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), "read admission.configFile "+path+": ") || !strings.Contains(err.Error(), test.fails) {
					t.Errorf("error is %v, want the file and %q", err, test.fails)
				}
				return
			}
			if err != nil || string(config[test.member]) != test.want {
				t.Errorf("%s has %q, %v; want %q", test.member, config[test.member], err, test.want)
			}
		})
	}
}
