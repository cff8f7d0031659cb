// Package harness runs the real server for tests: it builds the binary that users run, starts it on a free port and a
// directory of its own, waits until it is ready, and stops, kills and restarts it.
//
//	server := harness.Start(t, harness.Options{})
//	client := kubernetes.NewForConfigOrDie(server.ClientConfig())
//
// Start, and what it returns, fail the test they were given. Launch is the same with errors, for commands such as benchmarks.
//
// StartComponent runs what else a cluster has: controller manager, scheduler, and kwok in place of nodes.
//
// GATEHOUSE_TEST_BINARY, GATEHOUSE_TEST_KUBECTL and GATEHOUSE_TEST_COMPONENTS name ready-made binaries to use instead, such as an
// adapter around another server that takes gatehouse's flags; GATEHOUSE_TEST_RACE=1 makes the server one that looks for data races.
package harness
