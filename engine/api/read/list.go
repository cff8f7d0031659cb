package read

import (
	"context"
	"net/http"
	"strconv"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/endpoints/request"
	apistorage "k8s.io/apiserver/pkg/storage"

	"gatehouse/engine/objects/cache"
)

// versioner reads resourceVersions; it has no state.
var versioner = apistorage.APIObjectVersioner{}

// List answers LISTs and WATCHes of a collection, and leaves to upstream what it does not cover. forceWatch is for the old
// paths below watch/, which watch whatever their query says.
func (r *Reader) List(upstream http.HandlerFunc, forceWatch bool) http.HandlerFunc {
	return r.before(unlimited(upstream), func(w http.ResponseWriter, req *http.Request, info *request.RequestInfo) (func(), Reason) {
		options, ok := listOptions(req, info, r.Scope)
		switch {
		case !ok:
			return nil, Refused
		case options.ShardSelector != "":
			return nil, Sharding
		case options.Watch || forceWatch:
			return r.watch(w, req, info, &options)
		default:
			return r.list(w, req, info, &options)
		}
	})
}

func (r *Reader) list(
	w http.ResponseWriter, req *http.Request, info *request.RequestInfo, options *metainternalversion.ListOptions,
) (func(), Reason) {
	if auditsAnswers(req) {
		return nil, Audit
	}
	rep, reason := r.negotiate(req, "PartialObjectMetadataList")
	if reason != reasonNone {
		return nil, reason
	}
	selected, ok := r.selects(req.Context(), info, options)
	if !ok {
		return nil, Refused
	}
	page := listing{selection: selected}
	if reason := page.open(req.Context(), r.Collection); reason != reasonNone {
		return nil, reason
	}
	answer, reason := r.show(req, rep, &page)
	if reason != reasonNone {
		return nil, reason
	}
	return r.responding(w, req, rep, answer)
}

// show makes the body of a page.
func (r *Reader) show(req *http.Request, rep representation, page *listing) (body, Reason) {
	entries := page.gather(r.Resource.Indexed)
	meta, err := page.meta()
	if err != nil {
		return nil, Refused
	}
	if rep.table != nil {
		printed, err := r.printTable(req.Context(), rep.table, entries, meta)
		if err != nil {
			return nil, Unreadable
		}
		return printed, reasonNone
	}
	items := make([]cache.Form, len(entries))
	for i, entry := range entries {
		if req.Context().Err() != nil {
			return nil, Unavailable // upstream knows what to say of a deadline
		}
		if items[i], err = entry.Form(rep.shape.version, rep.encoding); err != nil {
			return nil, Unreadable
		}
	}
	answer, err := rep.shape.splice(rep.encoding, meta, items)
	if err != nil {
		return nil, Unreadable
	}
	return answer, reasonNone
}

// listing is one page of a list.
type listing struct {
	selection
	view cache.View
	// start is where the page begins, revision what it and its further pages show.
	start    string
	revision int64

	last string // key on the page, if it is full
	more bool   // keys remain beyond last
}

// open finds the view that the page shows.
func (l *listing) open(ctx context.Context, collection *cache.Collection) Reason {
	exact, position, err := apistorage.ValidateListOptions(l.key, versioner, l.options)
	if err != nil {
		return Refused
	}
	l.start = l.key
	if position != "" {
		l.start = position
	}
	if exact > 0 {
		l.view, err = collection.ViewAt(ctx, exact)
		l.revision = exact
		if err != nil {
			return History
		}
		return reasonNone
	}
	if l.view, err = collection.View(ctx); err != nil {
		return Unavailable
	}
	if !reaches(l.view, l.options.ResourceVersion) {
		return Refused
	}
	l.revision = l.view.Revision()
	return reasonNone
}

// gather collects the entries of the page.
func (l *listing) gather(indexed []string) []*cache.Entry {
	limit := int(l.options.Predicate.Limit)
	if !l.options.Recursive {
		limit = 0
	}
	entries := make([]*cache.Entry, 0, l.expected(limit))
	for entry := range l.scan(l.view, l.start, indexed) {
		if !l.matches(entry) {
			continue
		}
		entries = append(entries, entry)
		if len(entries) == limit {
			l.last = entry.Key()
			l.more = l.hasBeyond(l.last)
			break
		}
	}
	return entries
}

// hasBeyond says whether there are more keys, be they selected or not: upstream's lists go on as long as there are.
func (l *listing) hasBeyond(key string) bool {
	for range l.view.Scan(key+"\x00", l.end()) {
		return true
	}
	return false
}

// expected is how many items there will be if nothing is left out, and little if much may be.
func (l *listing) expected(limit int) int {
	if !l.everything {
		return 0
	}
	count := l.view.Count(l.start, l.end())
	if limit > 0 {
		return min(count, limit)
	}
	return count
}

// meta is the list's metadata. A page with another after it asks the cache to keep its view.
func (l *listing) meta() (*metav1.ListMeta, error) {
	var count int64
	if l.more {
		count = int64(l.view.Count(l.start, l.end()))
		l.view.Pin()
	}
	token, remaining, err := apistorage.PrepareContinueToken(l.last, l.key, l.revision, count, l.more, l.options)
	if err != nil {
		return nil, err
	}
	return &metav1.ListMeta{
		ResourceVersion:    strconv.FormatInt(l.revision, 10),
		Continue:           token,
		RemainingItemCount: remaining,
	}, nil
}
