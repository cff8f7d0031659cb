package garbage

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"gatehouse/engine/objects/cache"
)

// Kind is a kind of which objects can be owners, and dependents if they are Collected.
type Kind struct {
	// Kind and Resource are in the version by which the collector asks for the objects.
	Kind     schema.GroupVersionKind
	Resource schema.GroupVersionResource
	// Versions are all in which references can name the kind.
	Versions   []string
	Namespaced bool
	// Collected says that objects of the kind go with their owners. Those of other kinds are never looked at but as owners.
	Collected bool
	// Collection holds the objects. Prefix is what comes before namespace/name, or the name, in their keys.
	Collection *cache.Collection
	Prefix     string
}

// kind is a Kind, and how far the index knows it.
type kind struct {
	Kind
	// at is the revision that last changed the collection as the index knows it, once known says that it does. index.mu guards both.
	at    int64
	known bool
}

// name takes a key apart.
func (k *kind) name(key string) (namespace, name string) {
	path := strings.TrimPrefix(key, k.Prefix)
	if namespace, name, namespaced := strings.Cut(path, "/"); namespaced {
		return namespace, name
	}
	return "", path
}

// key is where an object of the kind is kept.
func (k *kind) key(namespace, name string) string {
	if k.Namespaced {
		return k.Prefix + namespace + "/" + name
	}
	return k.Prefix + name
}

// object is what was under a key while it had a UID.
type object struct {
	kind *kind
	key  string
	uid  types.UID
}

// String names the object in errors and logs.
func (o object) String() string {
	return fmt.Sprintf("%s %s (UID %s)", o.kind.Kind.Kind, strings.TrimPrefix(o.key, o.kind.Prefix), o.uid)
}

// work is what the index finds to be done. It is called with the index locked and must not block.
type work struct {
	// judge is called with what may have to go.
	judge func(object)
	// orphan is called with owners whose dependents are to lose them.
	orphan func(object)
	// misplaced is called with dependents that refer to an owner that is in another namespace than they are.
	misplaced func(dependent object, reference metav1.OwnerReference)
}

// index finds objects by their owners. It is safe for concurrent use.
type index struct {
	work     work
	logger   *slog.Logger
	follower *cache.Follower

	mu    sync.Mutex // guards all below, and what kinds say it guards
	kinds map[*cache.Collection]*kind
	// named finds kinds by what references say.
	named      map[schema.GroupVersionKind]*kind
	dependents map[types.UID]*group
	// waiting are the owners that are to go after their dependents.
	waiting map[types.UID]object
	scratch []byte
}

func newIndex(follower *cache.Follower, work work, logger *slog.Logger) *index {
	return &index{
		follower: follower, work: work, logger: logger,
		kinds: map[*cache.Collection]*kind{}, named: map[schema.GroupVersionKind]*kind{},
		dependents: map[types.UID]*group{}, waiting: map[types.UID]object{},
	}
}

// setKinds has the index know these kinds and no others.
func (x *index) setKinds(kinds []Kind) {
	x.mu.Lock()
	defer x.mu.Unlock()
	known := x.kinds
	x.kinds, x.named = map[*cache.Collection]*kind{}, map[schema.GroupVersionKind]*kind{}
	for _, described := range kinds {
		k := known[described.Collection]
		if k == nil || !described.Collected || k.Resource != described.Resource {
			k = &kind{}
		}
		k.Kind = described
		for _, version := range described.Versions {
			x.named[schema.GroupVersionKind{Group: k.Kind.Kind.Group, Version: version, Kind: k.Kind.Kind.Kind}] = k
		}
		if !described.Collected || x.kinds[described.Collection] != nil {
			continue // not followed, or followed already by another name for the same objects
		}
		x.kinds[described.Collection] = k
		x.follower.Add(described.Collection)
	}
	for collection, k := range known {
		if x.kinds[collection] != k {
			x.forget(k)
		}
		if x.kinds[collection] == nil {
			x.follower.Drop(collection)
		}
	}
}

// find is the kind that a reference names, nil if there is none.
func (x *index) find(apiVersion, name string) *kind {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.named[schema.FromAPIVersionAndKind(apiVersion, name)]
}

// update takes in what has happened to the collections that have changed since the last call.
func (x *index) update(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.begin(ctx); err != nil {
		return err
	}
	for _, collection := range x.follower.Take() {
		if k := x.kinds[collection]; k != nil {
			if err := x.advance(ctx, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// updateAll takes in what has happened to any collection: all that was acknowledged before the call.
func (x *index) updateAll(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.begin(ctx); err != nil {
		return err
	}
	for _, k := range x.kinds {
		if err := x.advance(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// begin looks at the kinds that have not been looked at. Each is held as it is before the first reference is followed: whatever owner
// is found then and goes later goes with an event that is still to be taken in. mu must be held.
func (x *index) begin(ctx context.Context) error {
	views := map[*kind]cache.View{}
	for _, k := range x.kinds {
		if k.known {
			continue
		}
		view, err := k.Collection.View(ctx)
		if err != nil {
			return err
		}
		views[k] = view
	}
	for k, view := range views {
		x.look(k, view)
	}
	return nil
}

// look takes in all objects of a kind, of which none is known. mu must be held.
func (x *index) look(k *kind, view cache.View) {
	k.known, k.at = true, view.Changed()
	for entry := range view.Scan("", "") {
		l := x.linksOf(entry)
		x.added(k, entry.Key(), &links{}, &l)
	}
}

// advance takes in what has happened to one collection, which has been looked at. mu must be held.
func (x *index) advance(ctx context.Context, k *kind) error {
	events, upTo, held, err := k.Collection.Since(ctx, k.at)
	switch {
	case err != nil:
		return err
	case !held:
		return x.rebuild(ctx, k)
	}
	for _, e := range events {
		x.apply(k, e)
	}
	k.at = upTo
	return nil
}

// rebuild looks at all objects of a kind anew. Some may have gone unseen: those that depended on them are found by looking at every
// reference once more. mu must be held.
func (x *index) rebuild(ctx context.Context, k *kind) error {
	view, err := k.Collection.View(ctx)
	if err != nil {
		return err
	}
	x.forget(k)
	x.look(k, view)
	for uid, owner := range x.waiting {
		if owner.kind == k {
			if entry := view.Get(owner.key); entry == nil || x.uidOf(entry) != uid {
				delete(x.waiting, uid)
			}
		}
		x.work.judge(owner)
	}
	for _, group := range x.dependents {
		for member := range group.all() {
			x.judgeUnlessOwned(member)
		}
	}
	return nil
}

// forget takes all objects of a kind out. mu must be held.
func (x *index) forget(k *kind) {
	for uid, group := range x.dependents {
		if group.drop(func(m member) bool { return m.kind == k }); group.len() == 0 {
			delete(x.dependents, uid)
		}
	}
}

// apply takes in one event. mu must be held.
func (x *index) apply(k *kind, e *cache.Event) {
	key := e.Entry.Key()
	switch e.Kind {
	case cache.Added:
		now := x.linksOf(e.Entry)
		x.added(k, key, &links{}, &now)
	case cache.Modified:
		before, now := x.linksOf(e.Previous), x.linksOf(e.Entry)
		x.removed(k, key, &before, &now)
		x.added(k, key, &before, &now)
	case cache.Deleted:
		last := x.linksOf(e.Entry)
		x.removed(k, key, &last, &links{})
		x.gone(last.uid)
	}
}

// added takes in the references that an object has now and did not have before, and what it waits for from now on. mu must be held.
func (x *index) added(k *kind, key string, before, now *links) {
	self := object{k, key, now.uid}
	news := false
	for i := range now.owners {
		uid := now.owners[i].UID
		if before.owner(uid) != nil {
			continue
		}
		news = true
		group := x.dependents[uid]
		if group == nil {
			group = newGroup()
			x.dependents[uid] = group
		}
		group.add(member{k, key})
	}
	if news {
		x.judgeUnlessOwned(member{k, key})
	}
	switch {
	case now.waitsForOrphans():
		if !before.waitsForOrphans() {
			x.work.orphan(self)
		}
	case now.waitsForDependents():
		if !before.waitsForDependents() {
			x.waiting[now.uid] = self
			for member := range x.dependents[now.uid].all() {
				x.judgeMember(member)
			}
			x.work.judge(self)
		}
	}
}

// removed takes out the references that an object had before and has no more, and tells the owners that waited for that. mu must be held.
func (x *index) removed(k *kind, key string, before, now *links) {
	for i := range before.owners {
		uid := before.owners[i].UID
		remains := now.owner(uid)
		if group := x.dependents[uid]; remains == nil && group != nil {
			if group.remove(member{k, key}); group.len() == 0 {
				delete(x.dependents, uid)
			}
		}
		if owner, waits := x.waiting[uid]; waits && blocking(&before.owners[i]) && !blocking(remains) {
			x.work.judge(owner)
		}
	}
}

// gone has those that depended on an object judged, which is no more. mu must be held.
func (x *index) gone(uid types.UID) {
	delete(x.waiting, uid)
	for member := range x.dependents[uid].all() {
		x.judgeMember(member)
	}
}

// judgeMember has a dependent judged, as it is now. mu must be held.
func (x *index) judgeMember(m member) {
	if entry := x.present(m.kind, m.key); entry != nil {
		x.work.judge(object{m.kind, m.key, x.uidOf(entry)})
	}
}

// judgeUnlessOwned has a dependent judged unless all its references lead to its owners. mu must be held.
func (x *index) judgeUnlessOwned(m member) {
	entry := x.present(m.kind, m.key)
	if entry == nil {
		return
	}
	l := x.linksOf(entry)
	namespace, _ := m.kind.name(m.key)
	owned := true
	for _, reference := range l.owners {
		owner := x.named[schema.FromAPIVersionAndKind(reference.APIVersion, reference.Kind)]
		if owner == nil {
			owned = false
			continue
		}
		if found := x.present(owner, owner.key(namespace, reference.Name)); found != nil && x.uidOf(found) == reference.UID {
			continue
		}
		owned = false
		if owner.Namespaced && x.elsewhere(owner, reference) {
			x.work.misplaced(object{m.kind, m.key, l.uid}, reference)
		}
	}
	if !owned {
		x.work.judge(object{m.kind, m.key, l.uid})
	}
}

// elsewhere says that there is an object in any namespace that a reference could mean. mu must be held.
func (x *index) elsewhere(k *kind, reference metav1.OwnerReference) bool {
	view, err := k.Collection.View(context.Background())
	if err != nil {
		return false
	}
	ending := "/" + reference.Name
	for entry := range view.Scan("", "") {
		if strings.HasSuffix(entry.Key(), ending) && x.uidOf(entry) == reference.UID {
			return true
		}
	}
	return false
}

// present is the state of a key, nil if there is none or the cache is closed. It waits for nothing but the first load of a
// collection.
func (x *index) present(k *kind, key string) *cache.Entry {
	entry, err := k.Collection.Get(context.Background(), key)
	if err != nil {
		return nil
	}
	return entry
}

// linksOf is nothing for what cannot be read. mu must be held.
func (x *index) linksOf(e *cache.Entry) links {
	l, err := x.read(e)
	if err != nil {
		x.logger.Warn("an object cannot be read, so that it has no owners", "object", e.Key(), "error", err)
	}
	return l
}

// read finds the links of an object. mu must be held.
func (x *index) read(e *cache.Entry) (links, error) {
	x.scratch = e.AppendContent(x.scratch[:0])
	l, err := readLinks(x.scratch)
	if err != nil {
		l, err = decodedLinks(e)
	}
	if cap(x.scratch) > mostScratch {
		x.scratch = nil
	}
	return l, err
}

// mostScratch is the largest buffer that is kept for the next object.
const mostScratch = 256 << 10

func (x *index) uidOf(e *cache.Entry) types.UID {
	l := x.linksOf(e)
	return l.uid
}

func decodedLinks(e *cache.Entry) (links, error) {
	decoded, err := e.Object()
	if err != nil {
		return links{}, err
	}
	return linksOfObject(decoded)
}

// state is an object as it is now: what ties it to others and the revision of that; found is false if it is no more. What cannot be
// read may be there: that is an error, by which whatever it may own stays.
func (x *index) state(ctx context.Context, o object) (l links, revision int64, found bool, err error) {
	entry, err := o.kind.Collection.Get(ctx, o.key)
	if err != nil || entry == nil {
		return links{}, 0, false, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch l, err = x.read(entry); {
	case err != nil:
		return links{}, 0, false, fmt.Errorf("see whether there is %s: %w", o, err)
	case l.uid != o.uid:
		return links{}, 0, false, nil
	}
	return l, entry.Revision(), true, nil
}

// dependent is an object that refers to an owner, and what ties it to others.
type dependent struct {
	object
	links
}

// dependentsOf is what refers to an owner as of all that was acknowledged before the call.
func (x *index) dependentsOf(ctx context.Context, owner types.UID) ([]dependent, error) {
	if err := x.updateAll(ctx); err != nil {
		return nil, fmt.Errorf("find what depends on UID %s: %w", owner, err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []dependent
	for m := range x.dependents[owner].all() {
		if entry := x.present(m.kind, m.key); entry != nil {
			l := x.linksOf(entry)
			all = append(all, dependent{object{m.kind, m.key, l.uid}, l})
		}
	}
	return all, nil
}

// member is a dependent in a group.
type member struct {
	kind *kind
	key  string
}

// group is the dependents of one owner. A nil group has none.
type group struct {
	few  []member // while they are few
	many map[member]struct{}
}

// mostFew is how many dependents are looked for one by one.
const mostFew = 8

func newGroup() *group { return &group{} }

func (g *group) len() int { return len(g.few) + len(g.many) }

// add adds what is not a member yet.
func (g *group) add(m member) {
	switch {
	case g.many != nil:
		g.many[m] = struct{}{}
	case slices.Contains(g.few, m):
	case len(g.few) < mostFew:
		g.few = append(g.few, m)
	default:
		g.many = make(map[member]struct{}, 2*mostFew)
		for _, one := range append(g.few, m) {
			g.many[one] = struct{}{}
		}
		g.few = nil
	}
}

func (g *group) remove(m member) {
	delete(g.many, m)
	if at := slices.Index(g.few, m); at >= 0 {
		g.few = slices.Delete(g.few, at, at+1)
	}
}

func (g *group) drop(those func(member) bool) {
	g.few = slices.DeleteFunc(g.few, those)
	maps.DeleteFunc(g.many, func(m member, _ struct{}) bool { return those(m) })
}

func (g *group) all() iter.Seq[member] {
	return func(yield func(member) bool) {
		if g == nil {
			return
		}
		for _, m := range g.few {
			if !yield(m) {
				return
			}
		}
		for m := range g.many {
			if !yield(m) {
				return
			}
		}
	}
}
