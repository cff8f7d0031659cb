package v1alpha1

import (
	"fmt"
	"net/url"
	"strconv"

	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
)

// addConversions lets options be read from the query of a URL.
func addConversions(scheme *runtime.Scheme) error {
	return scheme.AddConversionFunc((*url.Values)(nil), (*PluginReviewOptions)(nil), func(from, to any, _ conversion.Scope) error {
		values, options := *from.(*url.Values), to.(*PluginReviewOptions)
		for name, into := range map[string]*int64{"count": &options.Count, "timeoutSeconds": &options.TimeoutSeconds} {
			text := values.Get(name)
			if text == "" {
				continue
			}
			number, err := strconv.ParseInt(text, 10, 64)
			if err != nil || number < 1 {
				return fmt.Errorf("%s: %q is not a number from 1 on", name, text)
			}
			*into = number
		}
		if text := values.Get("credentials"); text != "" {
			wanted, err := strconv.ParseBool(text)
			if err != nil {
				return fmt.Errorf("credentials: %q is neither true nor false", text)
			}
			options.Credentials = wanted
		}
		return nil
	})
}
