package read

import (
	"net/http"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metainternalversionscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/features"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
)

// getOptions reads the query of a GET; ok is false if upstream has to look at it.
func getOptions(req *http.Request) (options metav1.GetOptions, ok bool) {
	if req.URL.RawQuery == "" {
		return options, true
	}
	query := req.URL.Query()
	if query.Has("export") {
		return options, false
	}
	err := metainternalversionscheme.ParameterCodec.DecodeParameters(query, metav1.SchemeGroupVersion, &options)
	return options, err == nil
}

// listOptions reads the query of a LIST or WATCH the way upstream's handler does (listOpts of endpoints/handlers); ok is
// false if upstream refuses it.
func listOptions(req *http.Request, info *request.RequestInfo, scope *handlers.RequestScope) (
	options metainternalversion.ListOptions, ok bool,
) {
	if req.URL.RawQuery != "" {
		err := metainternalversionscheme.ParameterCodec.DecodeParameters(req.URL.Query(), scope.MetaGroupVersion, &options)
		if err != nil {
			return options, false
		}
	}
	watchList := utilfeature.DefaultFeatureGate.Enabled(features.WatchList)
	metainternalversion.SetListOptionsDefaults(&options, watchList)
	if len(validation.ValidateListOptions(&options, watchList)) > 0 {
		return options, false
	}
	if options.FieldSelector != nil {
		internal, err := options.FieldSelector.Transform(func(label, value string) (string, string, error) {
			return scope.Convertor.ConvertFieldLabel(scope.Kind, label, value)
		})
		if err != nil {
			return options, false
		}
		options.FieldSelector = internal
	}
	return options, selectName(&options, info.Name)
}

// selectName narrows the options to the one object that the path or a field selector names. It refuses a field selector that
// names another one.
func selectName(options *metainternalversion.ListOptions, name string) bool {
	if name == "" {
		return true
	}
	if options.FieldSelector == nil || options.FieldSelector.Empty() {
		options.FieldSelector = fields.OneTermEqualSelector("metadata.name", name)
		return true
	}
	selected, ok := options.FieldSelector.RequiresExactMatch("metadata.name")
	return ok && selected == name
}
