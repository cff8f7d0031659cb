package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMistakesInWhatIsAcceptableNameKeyAndLine(t *testing.T) {
	for name, test := range map[string]struct{ file, want string }{
		"an unknown member": {
			"admission:\n  enable: [AlwaysPullImage]",
			`:2: admission.enable is "AlwaysPullImage", want names among AlwaysAdmit, `,
		},
		"a hint": {
			"admission:\n  enable: [AlwaysPullImage]",
			"did you mean AlwaysPullImages?",
		},
		"a plugin that is enabled": {
			"admission: {enable: ['plugin:mirror']}",
			`:1: admission.enable is "plugin:mirror", want names among`,
		},
		"a member on and off": {
			"admission:\n  enable: [LimitRanger]\n  disable: [LimitRanger]",
			":3: admission.disable lists LimitRanger, which admission.enable (",
		},
		"a member that is off": {
			"admission: {disable: [AlwaysPullImages]}",
			":1: admission.disable lists AlwaysPullImages, which is not asked by default; leave it out",
		},
		"an order that would change that of members": {
			"admission:\n  order: [ResourceQuota, plugins, LimitRanger]",
			`:2: admission.order is "ResourceQuota,plugins,LimitRanger", want LimitRanger before ResourceQuota: their own order does not change`,
		},
		"an order of plugins alone": {
			"admission: {order: [plugins]}",
			`:1: admission.order is "plugins", want at least one member that stands somewhere, and plugins or plugin:NAME`,
		},
		"an order without plugins": {
			"admission: {order: [LimitRanger]}",
			`:1: admission.order is "LimitRanger", want at least one member that stands somewhere`,
		},
		"a plugin twice": {
			"admission: {order: [LimitRanger, 'plugin:a', 'plugin:a']}",
			"want each name once, but plugin:a stands twice",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, test.file, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is\n\t%v\nwant one that contains\n\t%s", err, test.want)
			}
		})
	}
}

func TestPluginsStandWhereTheOrderPutsThem(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		// want is what stands together, names with blanks between.
		want []string
	}{
		"by default": {"", []string{"MutatingAdmissionWebhook plugins ValidatingAdmissionPolicy"}},
		"one of them elsewhere": {
			"admission: {order: [LimitRanger, 'plugin:a']}",
			[]string{"LimitRanger plugin:a ServiceAccount", "MutatingAdmissionWebhook plugins ValidatingAdmissionPolicy"},
		},
		"one directly before the others": {
			"admission: {order: [MutatingAdmissionWebhook, 'plugin:a']}",
			[]string{"MutatingAdmissionWebhook plugins plugin:a ValidatingAdmissionPolicy"},
		},
		"before what comes first": {
			"admission: {order: ['plugin:a', plugins, NamespaceLifecycle]}",
			[]string{"plugin:a plugins NamespaceLifecycle LimitRanger"},
		},
		"after the last": {
			"admission: {order: [ResourceQuota, plugins]}",
			[]string{"MutatingAdmissionWebhook ValidatingAdmissionPolicy", "ResourceQuota plugins"},
		},
		"next to a member that is off": {
			"admission: {order: [PodSecurity, plugins], disable: [PodSecurity]}",
			[]string{"TaintNodesByCondition plugins Priority"},
		},
		"beside a member that is on": {
			"admission: {enable: [AlwaysPullImages]}",
			[]string{"TaintNodesByCondition AlwaysPullImages PodSecurity"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := load(t, test.file, nil)
			if err != nil {
				t.Fatal(err)
			}
			members := config.Admission.Members()
			together := " " + strings.Join(members, " ") + " "
			for _, want := range test.want {
				if !strings.Contains(together, " "+want+" ") {
					t.Errorf("members are%s, want %s together", together, want)
				}
			}
			slices.Sort(members)
			if diff := cmp.Diff(slices.Compact(slices.Clone(members)), members); diff != "" {
				t.Errorf("members stand twice:\n%s", diff)
			}
		})
	}
}
