// Package rego runs Rego policies that `opa build -t wasm` has compiled, unmodified: it speaks OPA's WebAssembly ABI 1.x, and turns an
// AdmissionReview into the input such a policy expects and its result into the review that answers. It is a sandbox.Protocol:
// limits, meter, pool and faults are the sandbox's.
//
// There are two conventions for the input. By OPA's it is the AdmissionReview itself (input.request), and the settings are the data
// (data.NAME) and input.parameters; by Gatekeeper's it is input.review, the AdmissionRequest, and input.parameters, the settings.
// Kubewarden's metadata says which one a policy keeps; without it an entrypoint called violation keeps Gatekeeper's, and any other
// one OPA's.
//
// The result may be, by either convention:
//   - an AdmissionReview, or any object with a response, which is the answer; its uid is seen to;
//   - a list or set of messages, or of objects with a msg, that deny the request, if there are any;
//   - a boolean that allows or denies it;
//   - an object with one of the above under violation, deny or allow, as a whole package is.
//
// An undefined result is no verdict: it is a fault, and the plugin's failure policy decides.
//
// Functions that OPA leaves to the host are had as far as they compute, and http.send within the plugin's capability http.fetch; a policy
// that needs another one is refused, by name, when it is loaded. A failed http.send is a fault unless the policy asks to be told. A policy of
// Gatekeeper's convention that reads data.inventory sees there what its plugin may list, as it is when the policy is asked; see
// Options.Inventory.
//
// What a module imports as memory becomes its own, for no memory is shared between instances.
package rego
