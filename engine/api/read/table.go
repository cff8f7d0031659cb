package read

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	metainternalversionscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/engine/objects/cache"
)

// tableForm is how a client wants to have objects tabulated. Objects are decoded for their cells, which upstream's printers
// make; what stands behind the cells, usually metadata many times their size, is copied from the cache.
type tableForm struct {
	// around is what a table of that version stands in.
	around envelope
	// behind is how the object behind a row is shown; nil for not at all.
	behind *shape
	// metadata is the object's metadata alone, which stands behind the row of some bookmarks whatever the client wants.
	metadata *shape
}

// tableForm reads from the query what rows are to hold; ok is false if upstream refuses it.
func (r *Reader) tableForm(req *http.Request, version schema.GroupVersion) (form *tableForm, ok bool) {
	var options metav1.TableOptions
	if req.URL.RawQuery != "" {
		err := metainternalversionscheme.ParameterCodec.DecodeParameters(req.URL.Query(), metav1.SchemeGroupVersion, &options)
		if err != nil {
			return nil, false
		}
	}
	if len(validation.ValidateTableOptions(&options)) > 0 {
		return nil, false
	}
	form = &tableForm{around: r.tables[version], metadata: r.metadata[version]}
	switch options.IncludeObject {
	case metav1.IncludeNone:
	case metav1.IncludeObject:
		form.behind = r.object
	default:
		form.behind = form.metadata
	}
	return form, true
}

// afterInitialEvents is the form of the bookmark that ends the initial events: upstream never leaves out the object behind it.
func (f *tableForm) afterInitialEvents() *tableForm {
	if f.behind != nil {
		return f
	}
	ended := *f
	ended.behind = f.metadata
	return &ended
}

// tableOf makes the table of one object, as an item. It tells the columns only if it is to.
func (r *Reader) tableOf(ctx context.Context, form *tableForm, about subject, columns bool) (cache.Form, error) {
	printed, err := r.printOne(ctx, about)
	if err != nil {
		return cache.Form{}, err
	}
	if !columns {
		printed.columns = nil
	}
	item, err := tableHead(&printed.meta, printed.columns, []metav1.TableRow{})
	if err != nil {
		return cache.Form{}, err
	}
	item = item[:len(item)-len(tableTail)]
	for i, row := range printed.rows {
		if i > 0 {
			item = append(item, ',')
		}
		item = append(item, row...)
		if form.behind == nil {
			item = append(item, noObject...)
			continue
		}
		object, err := about.Form(form.behind.version, cache.JSON)
		if err != nil {
			return cache.Form{}, err
		}
		item = append(form.behind.item.appendJSON(item, object), '}')
	}
	return cache.NewForm(append(item, tableTail...)), nil
}

const (
	// tableTail ends a table with rows, noObject a row with nothing behind it.
	tableTail = "]}"
	noObject  = "null}"
)

// tableHead is a table without rows, as an item. Some printers make no rows of nothing, and others make nothing of it: null.
func tableHead(meta *metav1.ListMeta, columns []metav1.TableColumnDefinition, noRows []metav1.TableRow) ([]byte, error) {
	head, err := json.Marshal(&metav1.Table{ListMeta: *meta, ColumnDefinitions: columns, Rows: noRows})
	if err != nil {
		return nil, fmt.Errorf("encode a table's head: %w", err)
	}
	return head, nil
}

// printTable makes the body of a list shown as a table.
func (r *Reader) printTable(ctx context.Context, form *tableForm, entries []*cache.Entry, meta *metav1.ListMeta) (body, error) {
	t := &table{reader: r, form: form}
	// The first chunk is printed even if there is nothing in it: it tells the columns.
	for first := true; first || len(entries) > 0; first = false {
		n := min(len(entries), tableChunk)
		if sortsRows(r.Scope.Resource) {
			n = len(entries)
		}
		if err := t.addChunk(ctx, entries[:n], meta, first); err != nil {
			return nil, err
		}
		entries = entries[n:]
	}
	if t.rows > 0 {
		t.written.add([]byte(tableTail))
	}
	t.written.add([]byte("\n"))
	return &t.written, nil
}

// table is the table of a list being made.
type table struct {
	reader  *Reader
	form    *tableForm
	written pieces
	rows    int
}

func (t *table) addChunk(ctx context.Context, entries []*cache.Entry, meta *metav1.ListMeta, first bool) error {
	printed, err := t.reader.printList(ctx, entries, meta)
	if err != nil {
		return err
	}
	if first {
		if err := t.begin(printed); err != nil {
			return err
		}
	}
	about, err := subjectsOf(printed, entries)
	if err != nil {
		return fmt.Errorf("print %s: %w", t.reader.Scope.Resource, err)
	}
	for i := range printed.Rows {
		if err := t.addRow(&printed.Rows[i], about[i]); err != nil {
			return err
		}
	}
	return nil
}

// begin writes what comes before the rows.
func (t *table) begin(printed *metav1.Table) error {
	head, err := tableHead(&printed.ListMeta, printed.ColumnDefinitions, printed.Rows[:0])
	if err != nil {
		return err
	}
	if len(printed.Rows) > 0 {
		head = head[:len(head)-len(tableTail)]
	}
	t.written.add(append(append([]byte(nil), t.form.around.jsonHead...), ','))
	t.written.add(head[len("{"):])
	return nil
}

func (t *table) addRow(row *metav1.TableRow, entry *cache.Entry) error {
	encoded, err := encodeRow(row)
	if err != nil {
		return fmt.Errorf("encode the row of %s: %w", entry.Key(), err)
	}
	if t.rows > 0 {
		t.written.add([]byte(","))
	}
	t.rows++
	if t.form.behind == nil {
		t.written.add(append(encoded, noObject...))
		return nil
	}
	object, err := entry.Form(t.form.behind.version, cache.JSON)
	if err != nil {
		return err
	}
	t.written.add(append(append(encoded, t.form.behind.item.jsonHead...), ','))
	t.written.addForm(object.Slice(len("{"), object.Len()))
	t.written.add([]byte("}"))
	return nil
}

// encodeRow is a row up to the object behind it, in whose place upstream's encoder would leave a null.
func encodeRow(row *metav1.TableRow) ([]byte, error) {
	encoded, err := json.Marshal(&metav1.TableRow{Cells: row.Cells, Conditions: row.Conditions})
	if err != nil {
		return nil, err
	}
	return encoded[:len(encoded)-len(noObject)], nil
}

// pieces is a body in many parts, some of them the cache's.
type pieces struct {
	parts []cache.Form
	size  int
}

// add adds bytes that nobody changes any more.
func (p *pieces) add(part []byte) { p.addForm(cache.NewForm(part)) }

func (p *pieces) addForm(part cache.Form) {
	p.parts = append(p.parts, part)
	p.size += part.Len()
}

func (p *pieces) length() int { return p.size }

func (p *pieces) writeTo(g *gatherer) {
	for _, part := range p.parts {
		g.form(part)
	}
}
