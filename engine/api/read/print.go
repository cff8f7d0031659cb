package read

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"weak"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/engine/objects/cache"
)

// tableChunk is how many objects are in memory decoded at once while a table is printed.
const tableChunk = 200

// subject is what a row is about: an entry of the cache, or an object that is in no cache.
type subject interface {
	// Object is the object, decoded; it is the caller's.
	Object() (runtime.Object, error)
	Form(*cache.Version, cache.Encoding) (cache.Form, error)
}

// loose is a subject that is in no cache: a bookmark's.
type loose struct{ object runtime.Object }

func (l loose) Object() (runtime.Object, error) { return l.object.DeepCopyObject(), nil }

func (l loose) Form(version *cache.Version, encoding cache.Encoding) (cache.Form, error) {
	encoded, err := version.Encode(l.object.DeepCopyObject(), encoding)
	return cache.NewForm(encoded), err
}

// printed is what upstream's printer makes of one object.
type printed struct {
	meta    metav1.ListMeta
	columns []metav1.TableColumnDefinition
	// rows are encoded up to the objects behind them.
	rows [][]byte
}

// printOne prints an object by itself. What it returns is shared, the struct aside.
func (r *Reader) printOne(ctx context.Context, about subject) (printed, error) {
	entry, cached := about.(*cache.Entry)
	if !cached {
		return r.printNow(ctx, about)
	}
	second := r.Clock.Now().Unix()
	if known, found := r.recent.find(entry, second); found {
		return known, nil
	}
	made, err := r.printNow(ctx, entry)
	if err == nil {
		r.recent.add(entry, second, made)
	}
	return made, err
}

func (r *Reader) printNow(ctx context.Context, about subject) (printed, error) {
	object, err := r.decodePrinted(about)
	if err != nil {
		return printed{}, err
	}
	table, err := r.Scope.TableConvertor.ConvertToTable(ctx, object, &metav1.TableOptions{})
	if err != nil {
		return printed{}, fmt.Errorf("print an object of %s: %w", r.Scope.Resource, err)
	}
	made := printed{meta: table.ListMeta, columns: table.ColumnDefinitions}
	for i := range table.Rows {
		row, err := encodeRow(&table.Rows[i])
		if err != nil {
			return printed{}, fmt.Errorf("encode a row of %s: %w", r.Scope.Resource, err)
		}
		made.rows = append(made.rows, row)
	}
	return made, nil
}

// recentRows remembers what was printed last: the watches that show tables mostly show the same events at the same time.
// Rows tell ages, so that they are good for one second of the clock. Entries are not held, or their memory would be until rows are
// printed again.
type recentRows struct {
	mu      sync.Mutex // guards all below
	second  int64
	byEntry map[weak.Pointer[cache.Entry]]printed
}

// mostRecentRows bounds what is remembered.
const mostRecentRows = 64

func (r *recentRows) find(entry *cache.Entry, second int64) (printed, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.second != second {
		return printed{}, false
	}
	known, found := r.byEntry[weak.Make(entry)]
	return known, found
}

func (r *recentRows) add(entry *cache.Entry, second int64, made printed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.second != second || len(r.byEntry) >= mostRecentRows {
		r.second, r.byEntry = second, map[weak.Pointer[cache.Entry]]printed{}
	}
	r.byEntry[weak.Make(entry)] = made
}

// printList prints entries as a list with the given metadata.
func (r *Reader) printList(ctx context.Context, entries []*cache.Entry, listMeta *metav1.ListMeta) (*metav1.Table, error) {
	list, err := r.decodeList(ctx, entries, listMeta)
	if err != nil {
		return nil, err
	}
	table, err := r.Scope.TableConvertor.ConvertToTable(ctx, list, &metav1.TableOptions{})
	if err != nil {
		return nil, fmt.Errorf("print %s: %w", r.Scope.Resource, err)
	}
	return table, nil
}

// decodePrinted decodes what printers look at, and leaves out of it what is known to be of no interest to them.
func (r *Reader) decodePrinted(about subject) (runtime.Object, error) {
	version := r.object.version
	if _, cached := about.(*cache.Entry); !cached || version.Decode == nil {
		return about.Object() // what is in no cache was never encoded, and would come back with defaults
	}
	whole, err := about.Form(version, cache.Protobuf)
	if err != nil {
		return nil, err
	}
	scratch := r.buffers.frames.Get().(*[]byte)
	defer func() {
		*scratch = (*scratch)[:0]
		r.buffers.frames.Put(scratch)
	}()
	// What is left of it comes behind the whole, where there is room.
	size := whole.Len()
	*scratch = whole.AppendTo(slices.Grow(*scratch, 2*size))
	left, err := r.unprinted.apply((*scratch)[size:], *scratch)
	if err != nil {
		return nil, fmt.Errorf("leave out what is not printed: %w", err)
	}
	return version.Decode(cache.NewForm(left))
}

// decodeList makes a list as upstream's registry would return it, but for what is not printed.
func (r *Reader) decodeList(ctx context.Context, entries []*cache.Entry, listMeta *metav1.ListMeta) (runtime.Object, error) {
	objects := make([]runtime.Object, len(entries))
	for i, entry := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		object, err := r.decodePrinted(entry)
		if err != nil {
			return nil, err
		}
		objects[i] = object
	}
	list := r.Resource.NewList()
	if err := meta.SetList(list, objects); err != nil {
		return nil, fmt.Errorf("fill a %T: %w", list, err)
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return nil, fmt.Errorf("fill a %T: %w", list, err)
	}
	accessor.SetResourceVersion(listMeta.ResourceVersion)
	accessor.SetContinue(listMeta.Continue)
	accessor.SetRemainingItemCount(listMeta.RemainingItemCount)
	return list, nil
}

// sortsRows says that upstream prints a resource's rows in an order of their own (printFlowSchemaList of pkg/printers), for
// which it needs all of them at once.
func sortsRows(resource schema.GroupVersionResource) bool {
	return resource.Group == "flowcontrol.apiserver.k8s.io" && resource.Resource == "flowschemas"
}

// subjectsOf finds the entries that rows are about. Usually they stand in the same order.
func subjectsOf(table *metav1.Table, entries []*cache.Entry) ([]*cache.Entry, error) {
	if len(table.Rows) != len(entries) {
		return nil, fmt.Errorf("%d rows of %d objects", len(table.Rows), len(entries))
	}
	about := make([]*cache.Entry, len(entries))
	var byName map[string]*cache.Entry
	for i := range table.Rows {
		name, err := nameOf(&table.Rows[i])
		if err != nil {
			return nil, err
		}
		if about[i] = entries[i]; strings.HasSuffix(entries[i].Key(), name) {
			continue
		}
		if byName == nil {
			byName = entriesByName(entries, strings.Count(name, "/"))
		}
		if about[i] = byName[name]; about[i] == nil {
			return nil, fmt.Errorf("row %d shows %s, which is none of the objects", i, name)
		}
	}
	return about, nil
}

// nameOf is what the key ends with of the object that a row shows.
func nameOf(row *metav1.TableRow) (string, error) {
	accessor, err := meta.Accessor(row.Object.Object)
	if err != nil {
		return "", fmt.Errorf("find out what a row shows: %w", err)
	}
	return "/" + path.Join(accessor.GetNamespace(), accessor.GetName()), nil
}

// entriesByName has entries by the ends of their keys, of that many segments.
func entriesByName(entries []*cache.Entry, segments int) map[string]*cache.Entry {
	byName := make(map[string]*cache.Entry, len(entries))
	for _, entry := range entries {
		at := len(entry.Key())
		for range segments {
			at = strings.LastIndexByte(entry.Key()[:at], '/')
		}
		byName[entry.Key()[max(at, 0):]] = entry
	}
	return byName
}
