package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apiserver/pkg/admission"
	nodeutil "k8s.io/component-helpers/node/util"
	"k8s.io/kubernetes/pkg/apis/scheduling"
	"k8s.io/utils/ptr"

	"gatehouse/engine/catalog"
	"gatehouse/engine/config"
	"gatehouse/engine/controllers"
	"gatehouse/engine/loopback"
	"gatehouse/engine/version"
)

const (
	// selfName is what an API server is called in a cluster, and its container and ConfigMap.
	selfName = "kube-apiserver"
	// selfScheduler is asked to find a node for the server's Pod, and is nobody: the Pod runs where the server does.
	selfScheduler = "gatehouse"
	// configurationKey is the key of the configuration in the ConfigMap.
	configurationKey = "gatehouse.yaml"
	// configurationPreface comes before it.
	configurationPreface = "# What this server was started with. It keeps this copy, and puts it back when it is edited: change its file, and\n" +
		"# start it anew. What plugins are given as settings and keys is left out.\n"
)

// selfPodName is the name of the Pod that stands for the server: that which a static pod would have on this machine.
func selfPodName() string {
	host, err := nodeutil.GetHostname("")
	if err != nil || len(validation.IsDNS1123Subdomain(selfName+"-"+host)) > 0 {
		host = "localhost" // it has no name, or one that no object can have
	}
	return selfName + "-" + host
}

// self says how pods' logs and connections are answered for the server's own.
func (s *Server) self() catalog.Self {
	return catalog.Self{Namespace: metav1.NamespaceSystem, Pod: selfPodName(), Container: selfName, Log: s.recent}
}

// shownAs are the objects by which the server, listening on port, is seen.
func (s *Server) shownAs(port int, started time.Time) (controllers.Self, error) {
	shown, err := s.config.WithoutSecrets()
	if err != nil {
		return controllers.Self{}, err
	}
	text, err := config.Format(shown)
	if err != nil {
		return controllers.Self{}, err
	}
	labels := map[string]string{"component": selfName, "tier": "control-plane"}
	pod, err := s.selfPod(port, metav1.NewTime(started.Truncate(time.Second)), labels)
	if err != nil {
		return controllers.Self{}, err
	}
	return controllers.Self{Pod: pod, Configuration: &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: selfName, Labels: labels},
		Data:       map[string]string{configurationKey: configurationPreface + string(text)},
	}}, nil
}

// selfPod looks like that of a kube-apiserver which a kubelet runs from a file, but is bound to no node: engine/RATIONALE.md, "Why is
// the server's Pod on no node?".
func (s *Server) selfPod(port int, started metav1.Time, labels map[string]string) (*corev1.Pod, error) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceSystem, Name: selfPodName(), Labels: labels,
			Annotations: map[string]string{"kubernetes.io/config.source": selfScheduler},
		},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: selfName, Image: selfScheduler + ":" + version.Kubernetes, Command: []string{"gatehouse", "serve"},
				Ports: []corev1.ContainerPort{{Name: "https", ContainerPort: int32(port), HostPort: int32(port), Protocol: corev1.ProtocolTCP}},
			}},
			HostNetwork:                  true,
			SchedulerName:                selfScheduler,
			PriorityClassName:            scheduling.SystemNodeCritical,
			Priority:                     ptr.To(int32(scheduling.SystemCriticalPriority + 1000)),
			Tolerations:                  []corev1.Toleration{{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}},
			AutomountServiceAccountToken: ptr.To(false),
			EnableServiceLinks:           ptr.To(false),
		},
	}
	content, err := json.Marshal(pod)
	if err != nil {
		return nil, fmt.Errorf("encode the server's pod: %w", err)
	}
	sum := sha256.Sum256(content)
	pod.Annotations[controllers.AnnotationSelfHash] = hex.EncodeToString(sum[:16])
	pod.Status = s.selfStatus(started, pod.Spec.Containers[0].Image)
	return pod, nil
}

func (s *Server) selfStatus(started metav1.Time, image string) corev1.PodStatus {
	address := s.config.AdvertiseAddress.String()
	status := corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &started,
		HostIP: address, HostIPs: []corev1.HostIP{{IP: address}}, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: selfName, Image: image, Ready: true, Started: ptr.To(true),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}},
		}},
	}
	for _, condition := range []corev1.PodConditionType{
		corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled,
	} {
		status.Conditions = append(status.Conditions,
			corev1.PodCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: started})
	}
	return status
}

// exceptSelf is admission that is not asked about what the server writes about its own Pod. That is a report, which no policy
// can make untrue: refused, or given a sidecar, it would be wrong.
type exceptSelf struct {
	admission.Interface
}

var (
	_ admission.MutationInterface   = exceptSelf{}
	_ admission.ValidationInterface = exceptSelf{}
)

func (e exceptSelf) exempts(ctx context.Context, a admission.Attributes) bool {
	return loopback.Passed(ctx) && a.GetResource().GroupResource() == corev1.Resource("pods") &&
		a.GetNamespace() == metav1.NamespaceSystem && a.GetName() == selfPodName()
}

// Admit implements admission.MutationInterface.
func (e exceptSelf) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	mutating, ok := e.Interface.(admission.MutationInterface)
	if !ok || e.exempts(ctx, a) {
		return nil
	}
	return mutating.Admit(ctx, a, o)
}

// Validate implements admission.ValidationInterface.
func (e exceptSelf) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	validating, ok := e.Interface.(admission.ValidationInterface)
	if !ok || e.exempts(ctx, a) {
		return nil
	}
	return validating.Validate(ctx, a, o)
}
