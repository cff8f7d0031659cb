package catalog

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/cluster/ports"
	kubeletclient "k8s.io/kubernetes/pkg/kubelet/client"

	"gatehouse/engine/proxy"
)

// kubeletClient has upstream find out at which address and port a node's kubelet is. Its ways to get there are not used.
func kubeletClient(addressTypes []string) kubeletclient.KubeletClientConfig {
	return kubeletclient.KubeletClientConfig{
		Port:                  ports.KubeletPort,
		ReadOnlyPort:          ports.KubeletReadOnlyPort,
		PreferredAddressTypes: addressTypes,
	}
}

// kubelets says how kubelets are reached: where upstream finds them, by the server's own transports. Those that upstream would
// make of files leave goroutines behind, and cut every stream when the certificate is renewed.
type kubelets struct {
	found      kubeletclient.ConnectionInfoGetter
	transports *proxy.Transports
}

// GetConnectionInfo implements kubeletclient.ConnectionInfoGetter.
func (k kubelets) GetConnectionInfo(ctx context.Context, node types.NodeName) (*kubeletclient.ConnectionInfo, error) {
	info, err := k.found.GetConnectionInfo(ctx, node)
	if err != nil {
		return nil, err
	}
	info.Transport, info.InsecureSkipTLSVerifyTransport = k.transports.Kubelets, k.transports.UnverifiedKubelets
	return info, nil
}
