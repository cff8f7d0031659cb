package read

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	apistorage "k8s.io/apiserver/pkg/storage"

	"gatehouse/engine/objects/cache"
)

// selection is which objects a LIST or WATCH is about.
type selection struct {
	// options are what upstream's registry would ask of its storage.
	options apistorage.ListOptions
	// key is the one key that can be selected, or ends with a slash and begins all that can.
	key string
	// everything says that no object below key is left out.
	everything bool
}

// selects finds the selection as upstream's registry does (ListPredicate and WatchPredicate of genericregistry.Store): a
// field selector may narrow it to one namespace or one object. ok is false if the storage would refuse the key.
func (r *Reader) selects(ctx context.Context, info *request.RequestInfo, options *metainternalversion.ListOptions) (s selection, ok bool) {
	label, field := labels.Everything(), fields.Everything()
	if options.LabelSelector != nil {
		label = options.LabelSelector
	}
	if options.FieldSelector != nil {
		field = options.FieldSelector
	}
	predicate := apistorage.SelectionPredicate{
		Label:               label,
		Field:               field,
		GetAttrs:            r.Resource.Attributes,
		Limit:               limit(options),
		Continue:            options.Continue,
		AllowWatchBookmarks: options.AllowWatchBookmarks,
	}
	s = selection{
		options: apistorage.ListOptions{
			ResourceVersion:      options.ResourceVersion,
			ResourceVersionMatch: options.ResourceVersionMatch,
			SendInitialEvents:    options.SendInitialEvents,
			Predicate:            predicate,
			Recursive:            true,
		},
		everything: predicate.Empty(),
	}
	namespace := info.Namespace
	if selected, ok := predicate.MatchesSingleNamespace(); ok && namespace == "" && len(validation.ValidateNamespaceName(selected, false)) == 0 {
		namespace = selected
	}
	ctx = request.WithNamespace(ctx, namespace)
	if name, ok := predicate.MatchesSingle(); ok {
		if key, err := r.Resource.key(ctx, name); err == nil {
			s.options.Recursive = false
			s.key = key
			return s, r.Resource.holds(key, false)
		}
	}
	s.key = r.Resource.root(ctx) + "/"
	return s, r.Resource.holds(s.key, true)
}

// limit is how many objects a page may have, 0 for any number. kube-apiserver's cache ignores the limit of those who take the
// state of any revision, and so they get all of it.
func limit(options *metainternalversion.ListOptions) int64 {
	if options.ResourceVersion == "0" {
		return 0
	}
	return options.Limit
}

// unlimited has upstream's handler, which has no cache behind it here, ignore the same limits: a list is as long whoever answers it.
func unlimited(upstream http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		query := req.URL.Query()
		limit, err := strconv.ParseInt(query.Get("limit"), 10, 64)
		if err != nil || limit <= 0 || query.Get("resourceVersion") != "0" {
			upstream(w, req)
			return
		}
		query.Del("limit")
		asked, location := *req, *req.URL
		location.RawQuery = query.Encode()
		asked.URL = &location
		upstream(w, &asked)
	}
}

// holds is the check that every store makes of the keys it is asked for: a namespace of ".." leads nowhere.
func (r *Resource) holds(key string, recursive bool) bool {
	_, err := apistorage.PrepareKey(r.Prefix, key, recursive)
	return err == nil
}

// key is where an object is stored, if its name can be one.
func (r *Resource) key(ctx context.Context, name string) (string, error) {
	if r.Namespaced {
		return genericregistry.NamespaceKeyFunc(ctx, r.Prefix, name)
	}
	return genericregistry.NoNamespaceKeyFunc(ctx, r.Prefix, name)
}

// root is what the keys of all objects in ctx's namespace begin with, or of all objects if it has none.
func (r *Resource) root(ctx context.Context) string {
	if r.Namespaced {
		return genericregistry.NamespaceKeyRootFunc(ctx, r.Prefix)
	}
	return r.Prefix
}

// matches says whether an object is selected. One whose attributes cannot be told is not, as upstream has it. But one that cannot be
// decoded may well be: whoever is to show it finds that out and says so, where to leave it out would be to say that it is gone.
func (s *selection) matches(entry *cache.Entry) bool {
	if s.everything {
		return true
	}
	attributes, err := entry.Attributes()
	if err != nil {
		return errors.Is(err, cache.ErrUnreadable)
	}
	predicate := &s.options.Predicate
	return (predicate.Label == nil || predicate.Label.Matches(attributes.Labels)) &&
		(predicate.Field == nil || predicate.Field.Matches(attributes.Fields))
}

// end is where the selection's keys end.
func (s *selection) end() string {
	if s.options.Recursive {
		return strings.TrimSuffix(s.key, "/") + string('/'+1)
	}
	return s.key + "\x00"
}

// scan is the entries among which those selected are, fewer than all if a field of theirs is indexed.
func (s *selection) scan(view cache.View, start string, indexed []string) iter.Seq[*cache.Entry] {
	if field, value, ok := s.indexed(indexed); ok {
		return view.ScanField(start, s.end(), field, value)
	}
	return view.Scan(start, s.end())
}

// indexed is the first of the fields of which one value is selected, and that value.
func (s *selection) indexed(fields []string) (field, value string, ok bool) {
	for _, field := range fields {
		if value, ok := s.options.Predicate.Field.RequiresExactMatch(field); ok {
			return field, value, true
		}
	}
	return "", "", false
}
