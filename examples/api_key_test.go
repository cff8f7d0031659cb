package examples_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/plugins"
)

func TestAPIKey(t *testing.T) {
	keys := host(t, "api-key").Authentication(plugins.Selection{}, nil)
	const known = "an example, and no secret"
	for _, test := range []struct {
		name string
		keys []string
		want string
	}{
		{"who has no key is somebody else's concern", nil, "no opinion"},
		{"a known key is its user's", []string{known}, "ci [robots]"},
		{"an unknown key is wrong", []string{"guess"}, `authentication plugin "api-key": the X-Api-Key is not known`},
		{"an empty key is wrong", []string{""}, `authentication plugin "api-key": the X-Api-Key is not known`},
		{"half a key is wrong", []string{known[:12]}, `authentication plugin "api-key": the X-Api-Key is not known`},
		{"a long key is wrong", []string{strings.Repeat(known, 200)}, `authentication plugin "api-key": the X-Api-Key is not known`},
		{"two keys are wrong", []string{known, known}, `authentication plugin "api-key": there is more than one X-Api-Key`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "https://gatehouse.example.com/api", nil)
			for _, key := range test.keys {
				r.Header.Add("x-api-key", key)
			}
			response, ok, err := keys.AuthenticateRequest(r)
			got := "no opinion"
			switch {
			case err != nil:
				got = err.Error()
			case ok:
				got = fmt.Sprint(response.User.GetName(), " ", response.User.GetGroups())
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
