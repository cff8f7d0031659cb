// Package v1alpha1 is the API group plugins.gatehouse.dev: kinds by which users of the server see its plugins. They can be read and
// watched; what they tell of is changed in the plugin folder.
//
// +k8s:deepcopy-gen=package,register
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=dev.gatehouse.plugins.v1alpha1
// +groupName=plugins.gatehouse.dev
package v1alpha1

//go:generate go run k8s.io/code-generator/cmd/deepcopy-gen@v0.37.2 --output-file zz_generated.deepcopy.go --go-header-file header.txt .
//go:generate go run k8s.io/kube-openapi/cmd/openapi-gen@v0.0.0-20260721132016-d427ff9ee9ad --output-dir openapi --output-pkg gatehouse/engine/pluginapi/v1alpha1/openapi --output-file zz_generated.openapi.go --output-model-name-file zz_generated.model_name.go --go-header-file header.txt .
