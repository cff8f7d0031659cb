package read

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversionscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/engine/objects/cache"
)

// tableChunk is how many objects are in memory decoded at once while a table is printed.
const tableChunk = 200

// table prints the entries of a page. Objects are decoded for their cells, which upstream's printers make; what stands behind
// the cells, usually metadata many times their size, is copied from the cache.
type table struct {
	reader  *Reader
	version schema.GroupVersion
	options *metav1.TableOptions
	// behind is how the object behind a row is shown; nil for not at all.
	behind *shape

	written pieces
	rows    int
}

// sortsRows says that upstream prints a resource's rows in an order of their own (printFlowSchemaList of pkg/printers), for which
// it needs all of them at once.
func sortsRows(resource schema.GroupVersionResource) bool {
	return resource.Group == "flowcontrol.apiserver.k8s.io" && resource.Resource == "flowschemas"
}

// tableOptions reads from the query what rows are to hold; ok is false if upstream refuses it.
func tableOptions(req *http.Request) (options *metav1.TableOptions, ok bool) {
	options = &metav1.TableOptions{}
	if req.URL.RawQuery != "" {
		err := metainternalversionscheme.ParameterCodec.DecodeParameters(req.URL.Query(), metav1.SchemeGroupVersion, options)
		if err != nil {
			return nil, false
		}
	}
	return options, len(validation.ValidateTableOptions(options)) == 0
}

// printTable makes the body of a list shown as a table.
func (r *Reader) printTable(ctx context.Context, rep representation, options *metav1.TableOptions, entries []*cache.Entry, meta *metav1.ListMeta) (
	body, error,
) {
	t := &table{reader: r, version: rep.table, options: options}
	switch options.IncludeObject {
	case metav1.IncludeNone:
	case metav1.IncludeObject:
		t.behind = r.object
	default:
		t.behind = r.metadata[rep.table]
	}
	// The first chunk is printed even if there is nothing in it: it tells the columns.
	for first := true; first || len(entries) > 0; first = false {
		n := min(len(entries), tableChunk)
		if err := t.addChunk(ctx, entries[:n], meta, first); err != nil {
			return nil, err
		}
		entries = entries[n:]
	}
	if t.rows > 0 {
		t.written.add([]byte("]}\n"))
	}
	return &t.written, nil
}

func (t *table) addChunk(ctx context.Context, entries []*cache.Entry, listMeta *metav1.ListMeta, first bool) error {
	list, err := t.reader.decodeList(ctx, entries, listMeta)
	if err != nil {
		return err
	}
	printed, err := t.reader.Scope.TableConvertor.ConvertToTable(ctx, list, t.options)
	if err != nil {
		return fmt.Errorf("print %s: %w", t.reader.Scope.Resource, err)
	}
	if len(printed.Rows) != len(entries) {
		return fmt.Errorf("print %s: %d rows of %d objects", t.reader.Scope.Resource, len(printed.Rows), len(entries))
	}
	if first {
		if err := t.begin(printed); err != nil {
			return err
		}
	}
	for i := range printed.Rows {
		if !isAbout(&printed.Rows[i], entries[i]) {
			return fmt.Errorf("print %s: the rows are not in the order of the objects", t.reader.Scope.Resource)
		}
		if err := t.addRow(&printed.Rows[i], entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// isAbout says whether a row shows the object of an entry, should a printer not be known to sort.
func isAbout(row *metav1.TableRow, entry *cache.Entry) bool {
	accessor, err := meta.Accessor(row.Object.Object)
	return err == nil && strings.HasSuffix(entry.Key(), "/"+path.Join(accessor.GetNamespace(), accessor.GetName()))
}

// decodeList makes a list as upstream's registry would return it.
func (r *Reader) decodeList(ctx context.Context, entries []*cache.Entry, listMeta *metav1.ListMeta) (runtime.Object, error) {
	objects := make([]runtime.Object, len(entries))
	for i, entry := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		object, err := entry.Object()
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

// begin writes what comes before the rows.
func (t *table) begin(printed *metav1.Table) error {
	head, err := json.Marshal(&metav1.Table{
		TypeMeta:          metav1.TypeMeta{Kind: "Table", APIVersion: t.version.String()},
		ListMeta:          printed.ListMeta,
		ColumnDefinitions: printed.ColumnDefinitions,
		Rows:              printed.Rows[:0],
	})
	if err != nil {
		return fmt.Errorf("encode a table's head: %w", err)
	}
	if len(printed.Rows) == 0 {
		// Some printers make no rows of nothing, and others make nothing of it: null.
		t.written.add(append(head, '\n'))
		return nil
	}
	t.written.add(bytes.TrimSuffix(head, []byte("]}")))
	return nil
}

// addRow writes a row, in which upstream's encoder would leave a null for the object behind it.
func (t *table) addRow(row *metav1.TableRow, entry *cache.Entry) error {
	encoded, err := json.Marshal(&metav1.TableRow{Cells: row.Cells, Conditions: row.Conditions})
	if err != nil {
		return fmt.Errorf("encode the row of %s: %w", entry.Key(), err)
	}
	if t.rows > 0 {
		t.written.add([]byte(","))
	}
	t.rows++
	if t.behind == nil {
		t.written.add(encoded)
		return nil
	}
	item, err := entry.Form(t.behind.version, cache.JSON)
	if err != nil {
		return err
	}
	encoded = append(bytes.TrimSuffix(encoded, []byte("null}")), t.behind.item.jsonHead...)
	t.written.add(append(encoded, ','))
	t.written.add(item[len("{"):])
	t.written.add([]byte("}"))
	return nil
}

// pieces is a body in many parts, some of them the cache's.
type pieces struct {
	parts [][]byte
	size  int
}

func (p *pieces) add(part []byte) {
	p.parts = append(p.parts, part)
	p.size += len(part)
}

func (p *pieces) length() int { return p.size }

func (p *pieces) writeTo(w io.Writer) error {
	for _, part := range p.parts {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}
