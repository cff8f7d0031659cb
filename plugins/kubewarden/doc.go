// Package kubewarden runs Kubewarden's policies unmodified. They come in two kinds. Those of waPC stay in memory and are called
// again and again. Those of WASI are commands that are run anew for each request, with the question on stdin and the answer on
// stdout, which takes them as long as their language's runtime takes to start: milliseconds in Go.
//
// Either kind is a sandbox.Protocol: limits, meter, pool and faults are the sandbox's. A policy is asked `validate` with the
// AdmissionRequest and its settings, and `validate_settings` once when an instance is made; settings that it finds invalid are a
// fault. An object that it has changed becomes a JSON patch.
//
// What a policy asks of its host is translated into the operations that native guests have, under the names they have there (k8s.get,
// k8s.list, authz.can_i, crypto.verify_cert), and the operator grants it in the same way. Registries of images and names of hosts are not to
// be had. A policy's metadata say which requests it is for, and package plugins takes that for the defaults of its configuration; what they
// would like to read in the cluster is granted by nobody but the operator.
package kubewarden
