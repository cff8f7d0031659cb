package capability

import (
	"fmt"
	"net/http"
	"slices"

	"gatehouse/plugins/sandbox"
)

// maxShown bounds what Beyond quotes of one thing that is wanted, in bytes.
const maxShown = 256

// Beyond lists what g has and granted does not, each by the key that would grant it, such as `k8s.objects: {apiVersion: v1, kind: Pod}`.
// A kind counts as granted in however few namespaces it is: to narrow a grant is its operator's choice. Bounds are not compared. g need not
// be complete, so that authors can say that they want k8s or http and leave open which objects and URLs.
func (g Grants) Beyond(granted Grants) []string {
	var lacking []string
	want := func(wanted, has bool, key string) {
		if wanted && !has {
			lacking = append(lacking, key)
		}
	}
	if g.Kubernetes != nil {
		lacking = append(lacking, g.Kubernetes.beyond(granted.Kubernetes)...)
	}
	want(g.Authorization != nil && g.Authorization.CanI, granted.Authorization != nil && granted.Authorization.CanI, "authz.canI")
	if g.Crypto != nil {
		has := granted.Crypto
		want(g.Crypto.VerifyJWT != nil, has != nil && has.VerifyJWT != nil, "crypto.verifyJWT")
		want(g.Crypto.VerifyCert, has != nil && has.VerifyCert, "crypto.verifyCert")
	}
	if g.HTTP != nil {
		lacking = append(lacking, g.HTTP.beyond(granted.HTTP)...)
	}
	want(g.Cache != nil, granted.Cache != nil, "cache")
	return lacking
}

func (g *KubernetesGrant) beyond(granted *KubernetesGrant) []string {
	if granted == nil {
		if len(g.Objects) == 0 {
			return []string{"k8s.objects"}
		}
		granted = &KubernetesGrant{}
	}
	var lacking []string
	for _, wanted := range g.Objects {
		if !slices.ContainsFunc(granted.Objects, func(has ObjectsGrant) bool { return has.APIVersion == wanted.APIVersion && has.Kind == wanted.Kind }) {
			lacking = append(lacking, shown("k8s.objects: {apiVersion: %s, kind: %s}", wanted.APIVersion, wanted.Kind))
		}
	}
	return lacking
}

func (g *HTTPGrant) beyond(granted *HTTPGrant) []string {
	if granted == nil {
		if len(g.URLs) == 0 {
			return []string{"http.urls"}
		}
		granted = &HTTPGrant{}
	}
	var lacking []string
	for _, wanted := range g.URLs {
		if !granted.reaches(wanted) {
			lacking = append(lacking, shown("http.urls: %s", wanted))
		}
	}
	methods := granted.Methods
	if methods == nil {
		methods = []string{http.MethodGet, http.MethodHead}
	}
	for _, wanted := range g.Methods {
		if !slices.Contains(methods, wanted) {
			lacking = append(lacking, shown("http.methods: %s", wanted))
		}
	}
	return lacking
}

// reaches reports whether everything below a URL may be asked for.
func (g *HTTPGrant) reaches(wanted string) bool {
	u, err := parseURL(wanted)
	return err == nil && slices.ContainsFunc(g.URLs, func(text string) bool {
		p, err := parsePlace(text)
		return err == nil && p.has(u)
	})
}

// shown is fit for a terminal and a log, whoever wrote what is in it.
func shown(format string, texts ...any) string {
	return sandbox.Printable(fmt.Appendf(nil, format, texts...), maxShown)
}
