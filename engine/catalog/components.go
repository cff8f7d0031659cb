package catalog

import (
	"crypto/tls"

	"k8s.io/kubernetes/pkg/cluster/ports"
	"k8s.io/kubernetes/pkg/registry/core/componentstatus"
	schedulerconfig "k8s.io/kubernetes/pkg/scheduler/apis/config"
)

// components are the peers that the deprecated componentstatuses resource probes, at their well-known ports on this machine,
// as kube-apiserver does. There is no etcd to probe.
func components() map[string]componentstatus.Server {
	return map[string]componentstatus.Server{
		"controller-manager": localProbe(ports.KubeControllerManagerPort),
		"scheduler":          localProbe(schedulerconfig.DefaultKubeSchedulerPort),
	}
}

func localProbe(port int) componentstatus.Server {
	return &componentstatus.HttpServer{
		EnableHTTPS: true,
		// The probe sends nothing and trusts nothing that it is told but "ok"; the components' certificates are self-signed.
		TLSConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec
		Addr:      "127.0.0.1",
		Port:      port,
		Path:      "/healthz",
	}
}
