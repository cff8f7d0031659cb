# A policy by Gatekeeper's convention that looks at other objects: no two ConfigMaps claim the same host, and their namespace is open.
package uniquehost

identical(other, review) if {
	other.metadata.namespace == review.namespace
	other.metadata.name == review.name
}

# METADATA
# entrypoint: true
violation contains {"msg": msg, "details": {"in": namespace}} if {
	host := input.review.object.data.host
	some namespace, name
	other := data.inventory.namespace[namespace].v1.ConfigMap[name]
	other.data.host == host
	not identical(other, input.review)
	msg := sprintf("%s %s/%s of %s claims %q", [other.kind, namespace, name, other.apiVersion, host])
}

violation contains {"msg": sprintf("the namespace %s is closed", [input.review.namespace])} if {
	not data.inventory.cluster.v1.Namespace[input.review.namespace].metadata.labels.open
}
