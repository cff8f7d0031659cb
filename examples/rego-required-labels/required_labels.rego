# A policy in Gatekeeper's convention, as it stands in a ConstraintTemplate: the parameters are the plugin's settings.
package k8srequiredlabels

# METADATA
# entrypoint: true
violation contains {"msg": msg, "details": {"missing_labels": missing}} if {
	provided := {label | input.review.object.metadata.labels[label]}
	required := {label | some label in input.parameters.labels}
	missing := required - provided
	count(missing) > 0
	msg := sprintf("%s %q must have the labels %v", [input.review.kind.kind, input.review.object.metadata.name, missing])
}
