package plugins

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/namespace"

	"gatehouse/plugins/sandbox"
)

// roster says which plugins there are and which of them a request could concern, so that a request pays nothing for those that
// it cannot. There is another one whenever a plugin or its state has changed; this one does not, save for what it has found
// out.
type roster struct {
	// all, and those asked in each role, are in the order in which they are asked.
	all        []*plugin
	authorize  []judge
	admit      []*plugin
	tokens     []*plugin // asked about bearer tokens
	requests   []*plugin // asked about the rest of requests
	headers    []string  // what these look at, by canonical name
	everything bool      // whether one of these looks at requests without any of the headers

	// writes are the plugins that kinds of writes concern, as far as that has been found out: *concerned by kindOfWrite. Clients
	// could make up resources to fill it, so it is bounded.
	writes    sync.Map
	remaining atomic.Int64
}

// maxKindsOfWrites is far more than there are resources and operations on them, and namespaces in which plugins are selective.
const maxKindsOfWrites = 10_000

// judge is an authorizer and what it is asked about, side by side because they are looked at with each request.
type judge struct {
	*plugin
	rules []authorizationRule
}

// kindOfWrite is all that a plugin's rules look at.
type kindOfWrite struct {
	phase       phase
	operation   admission.Operation
	resource    schema.GroupVersionResource
	subresource string
	namespaced  bool
}

// concerned are the plugins whose rules match a kind of write, as long as its resource has these equivalents.
type concerned struct {
	equivalents []schema.GroupVersionResource
	plugins     []candidate
	// selective is set if one of them selects namespaces; namespaces then has, by name, an *inNamespace.
	selective  bool
	namespaces sync.Map
}

// inNamespace are the plugins that do not select other namespaces than one, as long as that has these labels.
type inNamespace struct {
	labels  map[string]string
	plugins []candidate
}

// candidate is a plugin that may have to be asked about a write, and the objects that it selects; nil for all.
type candidate struct {
	*plugin
	objects labels.Selector
}

func newRoster(all []*plugin) *roster {
	r := &roster{all: all}
	r.remaining.Store(maxKindsOfWrites)
	for _, p := range all {
		st := p.state.Load()
		if st.roles.has(roleBit(sandbox.Authorize)) {
			r.authorize = append(r.authorize, judge{p, st.manifest.Authorization.Rules})
		}
		if st.roles.has(roleBit(sandbox.Admit)) {
			r.admit = append(r.admit, p)
		}
		if st.roles.has(roleBit(sandbox.Authenticate)) {
			r.addAuthenticator(p, st.manifest.Authentication)
		}
	}
	return r
}

func (r *roster) addAuthenticator(p *plugin, config *authenticationConfig) {
	if *config.Tokens {
		r.tokens = append(r.tokens, p)
	}
	if config.Requests == nil {
		return
	}
	r.requests = append(r.requests, p)
	r.everything = r.everything || len(config.Requests.Headers) == 0 || config.Requests.ClientCertificates
	for _, name := range config.Requests.Headers {
		if !slices.Contains(r.headers, name) {
			r.headers = append(r.headers, name)
		}
	}
}

// shown is all that there is of the headers that authenticators look at, as one text; empty if there is none. A user's name in
// one and a password in another are one guess.
func (r *roster) shown(header http.Header) string {
	var all strings.Builder
	for _, name := range r.headers {
		for _, value := range header[name] {
			all.WriteString(name)
			all.WriteByte(0) // is in no header
			all.WriteString(value)
			all.WriteByte(0)
		}
	}
	return all.String()
}

// identifying are the plugins that may have to be asked who sent a request, other than by its token.
func (r *roster) identifying(header http.Header) []*plugin {
	if r.everything {
		return r.requests
	}
	for _, name := range r.headers {
		if len(header[name]) > 0 {
			return r.requests
		}
	}
	return nil
}

// admitting are the plugins whose rules match a write, without those that select other namespaces.
func (r *roster) admitting(w *request, namespaces *namespace.Matcher) ([]candidate, error) {
	if len(r.admit) == 0 {
		return nil, nil
	}
	kind := kindOfWrite{w.phase, w.GetOperation(), w.GetResource(), w.GetSubresource(), w.GetNamespace() != ""}
	equivalents := w.equivalentResources()
	if known, ok := r.writes.Load(kind); ok && slices.Equal(known.(*concerned).equivalents, equivalents) {
		return r.within(known.(*concerned), w, namespaces), nil
	}
	found := &concerned{equivalents: equivalents}
	for _, p := range r.admit {
		m := p.state.Load().manifest
		_, concerns, err := w.match(m)
		if err != nil {
			return nil, err
		}
		if concerns {
			one := candidate{plugin: p}
			if objects := m.Admission.selectors.objects; !objects.Empty() {
				one.objects = objects
			}
			found.plugins = append(found.plugins, one)
			found.selective = found.selective || !m.Admission.selectors.namespaces.Empty()
		}
	}
	if r.remaining.Add(-1) >= 0 {
		r.writes.Store(kind, found)
	}
	return r.within(found, w, namespaces), nil
}

// within are the plugins of all that do not select other namespaces than the write's. Where that is not easily said they all are: each
// plugin's selectors are looked at once more.
func (r *roster) within(all *concerned, w *request, namespaces *namespace.Matcher) []candidate {
	if !all.selective || w.GetNamespace() == "" || w.GetResource().Resource == "namespaces" || namespaces.NamespaceLister == nil {
		return all.plugins
	}
	has, err := namespaces.GetNamespaceLabels(w.Attributes)
	if err != nil {
		return all.plugins
	}
	known, ok := all.namespaces.Load(w.GetNamespace())
	if ok && maps.Equal(known.(*inNamespace).labels, has) {
		return known.(*inNamespace).plugins
	}
	found := &inNamespace{labels: has}
	for _, p := range all.plugins {
		if p.state.Load().manifest.Admission.selectors.namespaces.Matches(labels.Set(has)) {
			found.plugins = append(found.plugins, p)
		}
	}
	if ok || r.remaining.Add(-1) >= 0 {
		all.namespaces.Store(w.GetNamespace(), found)
	}
	return found.plugins
}

// reshuffle makes the roster anew, of other plugins if there are any. It must be called after each change of a plugin's state.
func (s *Set) reshuffle(all []*plugin) {
	s.shuffling.Lock()
	defer s.shuffling.Unlock()
	if all == nil {
		all = s.plugins()
	}
	s.roster.Store(newRoster(all))
}
