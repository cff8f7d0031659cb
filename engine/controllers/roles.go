package controllers

import (
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
)

// aggregationWorkers is how many aggregated roles are put together at a time.
const aggregationWorkers = 2

// addAggregation keeps the rules of aggregated ClusterRoles, such as admin, edit and view, those of the roles that they select.
// kube-apiserver leaves that to the controller manager; here what may be done must be right without one. Should one
// run as well, it finds nothing left to do.
func (l *Loops) addAggregation(config Config, client kubernetes.Interface) {
	aggregation := clusterroleaggregation.NewClusterRoleAggregation(config.Informers.Rbac().V1().ClusterRoles(), client.RbacV1())
	l.loop(func() { aggregation.Run(l.ctx, aggregationWorkers) })
}
