package cluster

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"gatehouse/tests/harness"
)

const (
	// nodes is how many nodes there are for everybody.
	nodes = 5
	// fleet and straggler tell those of them from the one that fails: values of a label, and names of what plays the kubelets.
	fleet         = "fleet"
	straggler     = "straggler"
	stragglerNode = "node-straggler"
	// nodeMonitorGrace is how long a node may be silent; its lease is renewed several times in that.
	nodeMonitorGrace = "20s"
	// podNetwork is where nodes get their ranges from.
	podNetwork = "10.244.0.0/16"
)

// cluster is a server and what else makes a cluster.
type cluster struct {
	server     *harness.Server
	client     *kubernetes.Clientset
	kubectlBin string
	dir        string // of the components' files

	managers    []*harness.Program // the controller managers, the first of which leads to begin with
	managerPort string             // where the first serves its metrics
	scheduler   *harness.Program
	// fleet and straggler play the kubelets of the nodes that are called so.
	fleet, straggler *harness.Program
	startStraggler   func() *harness.Program
}

// TestCluster has one cluster for all: what takes a minute to begin or to come by the clock is waited for once.
func TestCluster(t *testing.T) {
	c := start(t)
	t.Run("with everything up", func(t *testing.T) {
		var all sync.WaitGroup // t.Parallel has only as many at a time as there are processors, but they do little besides waiting
		for _, test := range []struct {
			name string
			run  func(*testing.T, *cluster)
		}{
			{"a Deployment rolls out, scales, is updated, rolled back and deleted", deployment},
			{"a StatefulSet comes and goes in order, and keeps its volumes", statefulSet},
			{"a DaemonSet follows a label from node to node", daemonSet},
			{"a Job completes, and goes when its time is up", job},
			{"a CronJob is started by hand and by the clock", cronJob},
			{"an autoscaler says that there are no metrics, and keeps to its bounds", autoscaler},
			{"a disruption budget refuses evictions", disruption},
			{"a Service leads to the pods that are ready", service},
			{"a Service without pods leads where somebody says", externalService},
			{"another range of ClusterIPs becomes ready", serviceRange},
			{"owners are deleted in the background, in the foreground, and without what they own", cascades},
			{"owners that do not exist or own each other hold nothing", strayOwners},
			{"a namespace is emptied and waits for finalizers", namespaces},
			{"quota is counted", quota},
			{"service accounts have what they need", accounts},
			{"every controller has an account of its own", controllersOwnAccounts},
			{"a certificate is signed once it is approved", certificate},
			{"roles are aggregated", aggregation},
			{"a machine could join with a bootstrap token", joining},
			{"a component trusts whom the server trusts", delegation},
			{"pods of high priority displace others", preemption},
			{"nodes give signs of life", heartbeats},
			{"a node that is lost loses its pods, and comes back", lostNode},
		} {
			all.Go(func() { t.Run(test.name, func(t *testing.T) { test.run(t, c) }) })
		}
		all.Wait()
	})
	t.Run("a second controller manager takes over from one that was killed", func(t *testing.T) { succession(t, c) })
	t.Run("nobody complains in a log", func(t *testing.T) { logs(t, c) })
	t.Run("the server is killed, and all goes on when it is back", func(t *testing.T) { restart(t, c) })
}

// start starts a cluster and waits until its nodes are ready.
func start(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir()}
	c.server = harness.Start(t, harness.Options{Flags: []string{
		"--config", c.configuration(t), "--listen", "127.0.0.1:" + freePort(t), // where it has to be found after a restart, too
	}})
	var err error
	if c.client, err = kubernetes.NewForConfig(c.server.ClientConfig()); err != nil {
		t.Fatal(err)
	}
	if c.kubectlBin, err = harness.Kubectl(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.startManagers(t)
	kubeconfig := c.certified(t, "system:kube-scheduler")
	c.scheduler = harness.StartComponent(t, harness.Scheduler,
		"--kubeconfig", kubeconfig, "--authentication-kubeconfig", kubeconfig, "--authorization-kubeconfig", kubeconfig,
		"--secure-port", "0", "--leader-elect-lease-duration", "2m", "--leader-elect-renew-deadline", "110s")
	c.startNodes(t)
	return c
}

// configuration is the file for a homelab as it lies in the tree, with the line turned on that is for a controller manager.
func (c *cluster) configuration(t *testing.T) string {
	t.Helper()
	config, err := os.ReadFile(filepath.FromSlash("../../configs/homelab.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const external = "controllers: external"
	text := strings.Replace(string(config), "# "+external, external, 1)
	if text == string(config) {
		t.Fatal("the file does not tell how to leave controllers to a controller manager")
	}
	return c.write(t, "gatehouse.yaml", text)
}

// startManagers starts two controller managers with all their controllers, as kubeadm would. The second waits for its turn.
//
// Those who lead end when they cannot renew their lease in time, and nobody starts them again here. They have longer for it than
// by default: a write waits for the disk, which for seconds may be busy with what other tests build.
func (c *cluster) startManagers(t *testing.T) {
	t.Helper()
	kubeconfig := c.certified(t, "system:kube-controller-manager")
	c.managerPort = freePort(t)
	for _, port := range []string{c.managerPort, "0"} {
		c.managers = append(c.managers, harness.StartComponent(t, harness.ControllerManager,
			"--kubeconfig", kubeconfig, "--authentication-kubeconfig", kubeconfig, "--authorization-kubeconfig", kubeconfig,
			"--bind-address", "127.0.0.1", "--secure-port", port,
			"--client-ca-file", c.pki("ca.crt"), "--root-ca-file", c.pki("ca.crt"),
			"--cluster-signing-cert-file", c.pki("ca.crt"), "--cluster-signing-key-file", c.pki("ca.key"),
			"--service-account-private-key-file", c.pki("service-account/0001.key"),
			"--use-service-account-credentials",
			"--controllers", "*,bootstrapsigner,tokencleaner",
			"--cluster-name", "kubernetes", "--allocate-node-cidrs", "--cluster-cidr", podNetwork,
			"--service-cluster-ip-range", "10.96.0.0/16",
			"--flex-volume-plugin-dir", t.TempDir(), // which it makes, if it is not there
			"--leader-elect-lease-duration", "30s", "--leader-elect-renew-deadline", "25s",
			"--node-monitor-grace-period", nodeMonitorGrace))
		if len(c.managers) == 1 {
			c.leader(t, string(harness.ControllerManager), "")
		}
	}
}

// startNodes makes nodes, and has kwok play their kubelets.
func (c *cluster) startNodes(t *testing.T) {
	t.Helper()
	c.kubectl(t, "", "apply", "-f", filepath.FromSlash("testdata/kwok-role.yaml"))
	kubeconfig := c.accounted(t, metav1.NamespaceSystem, "kwok-controller")
	config, err := os.ReadFile(filepath.FromSlash("testdata/kwok.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	stages, err := harness.KwokStages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file := c.write(t, "kwok.yaml", string(config)+stages)
	kubelets := func(which, podCIDR string) *harness.Program {
		return harness.StartComponent(t, harness.Kwok, "--kubeconfig", kubeconfig, "--config", file,
			"--manage-nodes-with-label-selector", "kubelets="+which, "--cidr", podCIDR)
	}
	c.fleet = kubelets(fleet, "10.0.0.1/24")
	c.startStraggler = func() *harness.Program { return kubelets(straggler, "10.0.1.1/24") }
	c.straggler = c.startStraggler()
	for i := range nodes {
		c.node(t, fmt.Sprintf("node-%d", i+1), fleet)
	}
	c.node(t, stragglerNode, straggler)
	await(t, c.core("nodes", ""), func(all []*corev1.Node) error {
		ready := 0
		for _, node := range all {
			if nodeReady(node) == corev1.ConditionTrue && len(node.Spec.PodCIDRs) > 0 {
				ready++
			}
		}
		return has(ready == nodes+1, "%d nodes are ready and have a range of addresses", ready)
	})
}

// node makes a node as its kubelet would when it joins.
func (c *cluster) node(t *testing.T, name, kubelets string) {
	t.Helper()
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("32Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubelets": kubelets, corev1.LabelHostname: name}},
		Status:     corev1.NodeStatus{Capacity: room, Allocatable: room},
	}
	if kubelets != fleet { // only those come who say so
		node.Spec.Taints = []corev1.Taint{{Key: kubelets, Effect: corev1.TaintEffectNoSchedule}}
	}
	if _, err := c.client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// namespace makes one for a test, and waits until pods can be made in it.
func (c *cluster) namespace(t *testing.T, name string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := c.client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, c.core("serviceaccounts", name), named("default", func(*corev1.ServiceAccount) error { return nil }))
	return name
}

// alive makes sure that no component has ended that should run.
func (c *cluster) alive(t *testing.T) {
	t.Helper()
	for name, component := range map[string]*harness.Program{
		"second controller manager": c.managers[1], "scheduler": c.scheduler, "fleet's kwok": c.fleet, "straggler's kwok": c.straggler,
	} {
		select {
		case <-component.Exited():
			t.Errorf("the %s has ended", name)
		default:
		}
	}
}

// pods are those that there are now.
func (c *cluster) pods(t *testing.T, namespace string) []corev1.Pod {
	t.Helper()
	list, err := c.client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// kubectl runs the real one as the administrator and returns what it printed. It fails the test if kubectl fails.
func (c *cluster) kubectl(t *testing.T, namespace string, args ...string) string {
	t.Helper()
	return c.kubectlWith(t, namespace, "", args...)
}

// kubectlWith is kubectl with an input, for `kubectl apply -f -`.
func (c *cluster) kubectlWith(t *testing.T, namespace, input string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), c.kubectlBin, args...)
	command.Args = append(command.Args, "--kubeconfig", c.server.Kubeconfig(), "--cache-dir", filepath.Join(c.dir, "discovery"))
	if namespace != "" {
		command.Args = append(command.Args, "--namespace", namespace)
	}
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("kubectl %s: %v\n%s%s", strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String()
}

func (c *cluster) write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(c.dir, name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// freePort is one that nobody listened at a moment ago: what is to be started takes no port 0 for any.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
