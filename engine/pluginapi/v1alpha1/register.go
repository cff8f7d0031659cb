package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// SchemeGroupVersion is the group and version of the kinds of this package.
var SchemeGroupVersion = schema.GroupVersion{Group: "plugins.gatehouse.dev", Version: "v1alpha1"}

// AddToScheme makes the kinds known to a scheme, as external and, for they have no other form, as internal ones.
func AddToScheme(scheme *runtime.Scheme) error {
	types := []runtime.Object{&Plugin{}, &PluginList{}, &PluginReviewOptions{}}
	scheme.AddKnownTypes(SchemeGroupVersion, types...)
	scheme.AddKnownTypes(schema.GroupVersion{Group: SchemeGroupVersion.Group, Version: runtime.APIVersionInternal}, types...)
	metav1.AddToGroupVersion(scheme, SchemeGroupVersion)
	if err := scheme.AddFieldLabelConversionFunc(SchemeGroupVersion.WithKind("Plugin"), runtime.DefaultMetaV1FieldSelectorConversion); err != nil {
		return err
	}
	return addConversions(scheme)
}
