// Command components is what a cluster has besides its API server, of the Kubernetes release that gatehouse serves, for the tests:
//
//	components kube-controller-manager FLAGS...
//	components kube-scheduler FLAGS...
//	components kwok FLAGS...
//	components kwok-stages
//
// Each is the real command; kwok stands in for kubelets, and kwok-stages prints the rules for nodes and pods that its users begin with. They are one program because most of what they are made of is the same,
// so that it is linked once, and a module of its own so that the server's go.mod stays lean.
package main

import (
	"fmt"
	"os"
)

func main() {
	commands := map[string]func() int{
		"kube-controller-manager": controllerManager,
		"kube-scheduler":          scheduler,
		"kwok":                    kwok,
		"kwok-stages":             kwokStages,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: components kube-controller-manager|kube-scheduler|kwok|kwok-stages FLAGS...")
		os.Exit(2)
	}
	run := commands[os.Args[1]]
	os.Args = os.Args[1:] // which is what kwok reads its flags from, too
	os.Exit(run())
}
