package cluster

import (
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatehouse/tests/harness"
)

// statefulSet has volumes that somebody made by hand, as in a cluster without a provisioner.
func statefulSet(t *testing.T, c *cluster) {
	ns := c.namespace(t, "stateful")
	c.kubectl(t, ns, "apply", "-f", "testdata/stateful.yaml")
	inOrder := func(all []*corev1.Pod) error {
		ready := map[string]bool{}
		for _, pod := range all {
			ready[pod.Name] = podReady(pod)
		}
		for i := 1; i < 3; i++ {
			if _, exists := ready[fmt.Sprint("db-", i)]; exists && !ready[fmt.Sprint("db-", i-1)] {
				return harness.Hopeless(fmt.Errorf("db-%d exists before its predecessor is ready: %v", i, ready))
			}
		}
		return has(len(all) == 3 && ready["db-2"], "the pods are %v", ready)
	}
	await(t, c.core("pods", ns), inOrder)
	await(t, c.core("persistentvolumeclaims", ns), func(all []*corev1.PersistentVolumeClaim) error {
		var volumes []string
		for _, claim := range all {
			if claim.Status.Phase == corev1.ClaimBound {
				volumes = append(volumes, claim.Spec.VolumeName)
			}
		}
		slices.Sort(volumes)
		return has(slices.Equal(volumes, []string{"by-hand-0", "by-hand-1", "by-hand-2"}), "claims are bound to %v", volumes)
	})

	c.kubectl(t, ns, "delete", "pod", "db-1")
	await(t, c.core("pods", ns), named("db-1", func(pod *corev1.Pod) error { return has(podReady(pod), "it has not come again") }))
	c.kubectl(t, ns, "scale", "statefulset/db", "--replicas=1")
	await(t, c.core("pods", ns), func(all []*corev1.Pod) error {
		return has(len(all) == 1 && all[0].Name == "db-0", "there are %d pods", len(all))
	})
	c.kubectl(t, ns, "delete", "statefulset", "db")
	await(t, c.core("pods", ns), none[*corev1.Pod])
	claims, err := c.client.CoreV1().PersistentVolumeClaims(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(claims.Items) != 3 {
		t.Errorf("there are %d claims, want those of all pods there have been: %v", len(claims.Items), err)
	}

	c.kubectl(t, ns, "delete", "persistentvolumeclaims", "--all")
	await(t, c.core("persistentvolumes", ""), func(all []*corev1.PersistentVolume) error {
		for _, volume := range all {
			if volume.Status.Phase != corev1.VolumeReleased {
				return fmt.Errorf("%s is %s", volume.Name, volume.Status.Phase)
			}
		}
		return nil
	})
}

// daemonSet follows a label from node to node.
func daemonSet(t *testing.T, c *cluster) {
	ns := c.namespace(t, "daemons")
	c.kubectl(t, ns, "apply", "-f", "testdata/daemon.yaml")
	on := func(want ...string) func([]*corev1.Pod) error {
		return func(all []*corev1.Pod) error {
			var nodes []string
			for _, pod := range all {
				if podReady(pod) {
					nodes = append(nodes, pod.Spec.NodeName)
				}
			}
			slices.Sort(nodes)
			return has(slices.Equal(nodes, want), "pods are ready on %v, want them on %v", nodes, want)
		}
	}
	c.kubectl(t, "", "label", "node", "node-1", "node-2", "disk=fast")
	await(t, c.core("pods", ns), on("node-1", "node-2"))
	c.kubectl(t, "", "label", "node", "node-3", "disk=fast")
	await(t, c.core("pods", ns), on("node-1", "node-2", "node-3"))
	c.kubectl(t, "", "label", "node", "node-1", "disk-")
	await(t, c.core("pods", ns), on("node-2", "node-3"))
	await(t, c.apps("daemonsets", ns), named("agent", func(d *appsv1.DaemonSet) error {
		s := d.Status
		return has(s.DesiredNumberScheduled == 2 && s.NumberAvailable == 2 && s.NumberMisscheduled == 0, "the status is %+v", s)
	}))

	c.kubectl(t, ns, "set", "image", "daemonset/agent", "agent=registry.example.org/agent:2")
	c.kubectl(t, ns, "rollout", "status", "daemonset/agent", "--timeout", patience.String())
	await(t, c.core("pods", ns), runs(2, "registry.example.org/agent:2"))
}

// job has five indexes, two of which are worked on at a time, and vanishes when it is done.
func job(t *testing.T, c *cluster) {
	ns := c.namespace(t, "jobs")
	c.kubectl(t, ns, "apply", "-f", "testdata/job.yaml")
	await(t, c.batch("jobs", ns), named("sums", func(job *batchv1.Job) error {
		if job.Status.Active > 2 {
			return harness.Hopeless(fmt.Errorf("%d pods at a time, want at most 2", job.Status.Active))
		}
		return complete(job)
	}))
	await(t, c.core("pods", ns), func(all []*corev1.Pod) error {
		for _, pod := range all {
			if len(pod.Finalizers) > 0 {
				return fmt.Errorf("%s has the finalizers %v", pod.Name, pod.Finalizers)
			}
		}
		return has(len(all) == 5, "there are %d pods, want one of each index", len(all))
	})

	c.kubectl(t, ns, "patch", "job", "sums", "--type=merge", "--patch", `{"spec": {"ttlSecondsAfterFinished": 1}}`)
	await(t, c.batch("jobs", ns), none[*batchv1.Job])
	await(t, c.core("pods", ns), none[*corev1.Pod])
}

func complete(job *batchv1.Job) error {
	for _, condition := range job.Status.Conditions {
		if condition.Type == batchv1.JobComplete && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("%s has %d pods that succeeded, but is not complete", job.Name, job.Status.Succeeded)
}

// cronJob is waited for by the clock, and started by hand before.
func cronJob(t *testing.T, c *cluster) {
	ns := c.namespace(t, "cron")
	c.kubectl(t, ns, "create", "cronjob", "nightly", "--image=registry.example.org/backup:1", "--schedule=* * * * *")
	c.kubectl(t, ns, "create", "job", "now", "--from=cronjob/nightly")
	await(t, c.batch("jobs", ns), named("now", complete))
	await(t, c.batch("jobs", ns), func(all []*batchv1.Job) error {
		for _, job := range all {
			if job.Name != "now" && complete(job) == nil {
				return nil
			}
		}
		return fmt.Errorf("the clock has started none of %d jobs that are complete", len(all))
	})
	await(t, c.batch("cronjobs", ns), named("nightly", func(job *batchv1.CronJob) error {
		return has(job.Status.LastSuccessfulTime != nil, "it does not know of a success")
	}))
	c.kubectl(t, ns, "delete", "cronjob", "nightly")
	await(t, c.batch("jobs", ns), none[*batchv1.Job])
}

// autoscaler can read the scale of what it is for, but nobody serves metrics.
func autoscaler(t *testing.T, c *cluster) {
	ns := c.namespace(t, "autoscaled")
	c.kubectl(t, ns, "create", "deployment", "web", "--image=registry.example.org/web:1", "--replicas=2")
	c.kubectl(t, ns, "set", "resources", "deployment/web", "--requests=cpu=100m")
	c.kubectl(t, ns, "autoscale", "deployment", "web", "--min=3", "--max=6", "--cpu=80%")
	await(t, collection(c.client.AutoscalingV2().RESTClient(), "horizontalpodautoscalers", ns),
		named("web", func(h *autoscalingv2.HorizontalPodAutoscaler) error {
			reasons := map[autoscalingv2.HorizontalPodAutoscalerConditionType]string{}
			for _, condition := range h.Status.Conditions {
				reasons[condition.Type] = fmt.Sprint(condition.Status, " ", condition.Reason)
			}
			return has(reasons[autoscalingv2.AbleToScale] == "True SucceededGetScale" &&
				reasons[autoscalingv2.ScalingActive] == "False FailedGetResourceMetric", "the conditions are %v", reasons)
		}))
	// What needs no metrics it does: there are fewer than the least.
	await(t, c.core("pods", ns), runs(3, "registry.example.org/web:1"))
}
