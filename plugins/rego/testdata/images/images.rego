# A policy in OPA's own convention, as its tutorials for Kubernetes have it: the entrypoint is the AdmissionReview that answers.
package kubernetes.admission

# METADATA
# entrypoint: true
main := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"response": response,
}

default response := {"uid": "", "allowed": true}

response := {"uid": input.request.uid, "allowed": false, "status": {"message": concat("; ", deny)}} if count(deny) > 0

response := {
	"uid": input.request.uid,
	"allowed": true,
	"patchType": "JSONPatch",
	"patch": base64.encode(json.marshal([{"op": "add", "path": "/metadata/labels", "value": {"checked": "yes"}}])),
} if {
	count(deny) == 0
	input.request.operation == "CREATE"
}

deny contains msg if {
	some container in input.request.object.spec.containers
	not startswith(container.image, data.registry)
	msg := sprintf("image %q comes from another registry than %q", [container.image, input.parameters.registry])
}
