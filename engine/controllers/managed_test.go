package controllers

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"

	"gatehouse/engine/config"
)

// TestEveryLoopCanBeNamed holds the names that the configuration knows against the loops that there are.
func TestEveryLoopCanBeNamed(t *testing.T) {
	var loops []string
	for _, m := range allManaged() {
		loops = append(loops, m.name)
	}
	slices.Sort(loops)
	if diff := cmp.Diff(config.ControllerNames(), loops); diff != "" {
		t.Errorf("loops (-named +there):\n%s", diff)
	}
}

func TestOnlyWhatIsConfiguredRuns(t *testing.T) {
	all := config.ControllerNames()
	without := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(names, name) })
	}
	for name, test := range map[string]struct {
		items  config.Controllers
		tokens bool
		want   []string
	}{
		"all, with bootstrap tokens": {items: config.Controllers{"*"}, tokens: true, want: all},
		"all, without them": {
			items: config.Controllers{"*"}, want: without(names.BootstrapSignerController, names.TokenCleanerController),
		},
		"all but one": {
			items: config.Controllers{"*", "-" + names.GarbageCollectorController}, tokens: true, want: without(names.GarbageCollectorController),
		},
		"none":         {items: config.Controllers{"external"}, tokens: true},
		"none but one": {items: config.Controllers{"external", names.NamespaceController}, want: []string{names.NamespaceController}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, m := range (Config{Runs: test.items.Runs, BootstrapTokens: test.tokens}).on() {
				got = append(got, m.name)
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
