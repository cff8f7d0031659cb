package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestControllersAreNamedAsAControllerManagerNamesThem(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		args []string
		want Controllers
		err  string // what an error has in it
	}{
		"nothing said":           {want: Controllers{"*"}},
		"left to others":         {file: "controllers: external", want: Controllers{"external"}},
		"left to others but one": {file: "controllers: [external, namespace-controller]", want: Controllers{"external", "namespace-controller"}},
		"all but one, as a flag": {args: []string{"--controllers=*,-garbage-collector-controller"}, want: Controllers{"*", "-garbage-collector-controller"}},
		"by kube-controller-manager's short names": {
			file: "controllers: ['*', -garbagecollector, -namespace]", want: Controllers{"*", "-garbage-collector-controller", "-namespace-controller"},
		},
		"a name that is misspelt": {
			file: "\ncontrollers: ['*', -namespac-controller]", err: `gatehouse.yaml:2: controllers is "-namespac-controller", want the name of a controller of this server; did you mean namespace-controller?`,
		},
		"a controller that runs elsewhere": {
			file: "controllers: ['*', -deployment-controller]", err: `controllers is "-deployment-controller", want one of the controllers of this server, which are bootstrap-signer-controller, `,
		},
		"nothing":            {args: []string{"--controllers="}, err: `want at least one item; external leaves all controllers to a kube-controller-manager`},
		"two minds":          {file: "controllers: [external, '*']", err: `controllers is "external,*", want either * or external`},
		"less than nothing":  {file: "controllers: [external, -namespace]", err: "external with nothing but names to run here all the same"},
		"a dash and no name": {file: "controllers: ['*', '-']", err: `controllers is "-", want`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := load(t, test.file, nil, test.args...)
			switch {
			case test.err == "" && err != nil:
				t.Fatal(err)
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
				t.Fatalf("error is %v, want it to have %q", err, test.err)
			}
			if diff := cmp.Diff(test.want, got.Controllers); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
