// Package conformance holds gatehouse's answers against those of the real kube-apiserver v1.37.2, byte for byte where bytes
// do not depend on the hour.
//
// A case is a file cases/NAME.http: requests in a row, sent by the administrator, in a namespace of the case's own.
//
//	### a sentence about what is asked
//	# @capture rv metadata.resourceVersion
//	PUT /api/v1/namespaces/{{ns}}/configmaps/settings?fieldValidation=Strict
//	Accept: application/yaml
//
//	apiVersion: v1
//	kind: ConfigMap
//	...
//
// A body without a Content-Type is YAML for the reader's sake, and sent as JSON. With application/vnd.kubernetes.protobuf it
// is YAML too, and sent as protobuf. With any other Content-Type, an empty one included, it is sent as it stands. Comments
// before the request line may say:
//
//	# @capture NAME PATH   keep a value of the answer, such as items.0.metadata.uid, for {{NAME}} in later requests
//	# @events N            hang up after N events of a watch; bound those that may be fewer with timeoutSeconds
//	# @until STATUS        ask again until this is the status
//	# @raw                 record the body as it stands, not as canonical JSON
//	# @anonymous           send it without the administrator's certificate
//	# @verbatim            send the body as it stands whatever its Content-Type
//
// A case that says "# @forgetful" before its first request has a server of its own, one that forgets the past within seconds.
//
// {{ns}} is the case's namespace, {{fill N}} is N bytes of x. Cases know nothing of each other: what is not in their namespace
// has names and labels of their own.
//
// cases/NAME.golden is the recording of kube-apiserver's answers: status, the headers that clients depend on, and the body as
// canonical JSON, whatever its encoding was. What differs from run to run (uids, resource versions, times, allocated addresses,
// tokens) is replaced by a name that is the same wherever the value was the same. Left out are headers of what is not compared
// here: audit ids, flow control. To record anew, after a case or the oracle's version changed:
//
//	go test ./tests/conformance -record [-run TestAnswers/NAME]
//
// That builds tests/conformance/upstream, kube-apiserver with its default flags but for --authorization-mode=Node,RBAC,
// --service-cluster-ip-range=10.96.0.0/12, --enable-admission-plugins=NodeRestriction, --allow-privileged, and an authentication configuration by
// which strangers may ask for its health alone: what gatehouse has by default.
//
// TestEveryMethodOnEveryPath is the same for the whole breadth of the API: the gist of the answer to each method on each path
// that discovery tells of.
//
// deviations.yaml lists where gatehouse answers differently, and why. A deviation that is over fails the test as well.
package conformance
