package pluginapi

import (
	"context"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"

	"gatehouse/engine/pluginapi/v1alpha1"
)

// columns are those of tables; wide ones have a priority above 0.
func columns() []metav1.TableColumnDefinition {
	described := metav1.ObjectMeta{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		{Name: "Name", Type: "string", Format: "name", Description: described["name"]},
		{Name: "Roles", Type: "string", Description: "What the plugin is asked: who somebody is, what they may do, whether a write is acceptable."},
		{Name: "ABI", Type: "string", Description: "How the server speaks with the module."},
		{Name: "Language", Type: "string", Description: "What the module's compilers say of it."},
		{Name: "State", Type: "string", Description: "Whether the plugin serves."},
		{Name: "Revision", Type: "string", Description: "Which content of the plugin's files serves."},
		{Name: "Calls", Type: "integer", Description: "How often the plugin was called."},
		{Name: "Denials", Type: "integer", Description: "How often it said no."},
		{Name: "Errors", Type: "integer", Description: "How often it could not decide."},
		{Name: "P99", Type: "string", Description: "The time that 99 of 100 calls did not take longer than."},
		{Name: "Age", Type: "string", Description: described["creationTimestamp"]},
		{Name: "Policy", Type: "string", Priority: 1, Description: "What happens when the plugin cannot decide."},
		{Name: "Instances", Type: "integer", Priority: 1, Description: "How many instances there are."},
		{Name: "Memory", Type: "string", Priority: 1, Description: "The linear memory that they have together."},
		{Name: "Description", Type: "string", Priority: 1, Description: "What the plugin is for."},
		{Name: "Message", Type: "string", Priority: 1, Description: "Why the plugin does not serve as it should."},
	}
}

// ConvertToTable implements rest.TableConvertor.
func (s *storage) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	if o, ok := options.(*metav1.TableOptions); !ok || !o.NoHeaders {
		table.ColumnDefinitions = columns()
	}
	if list, ok := object.(*v1alpha1.PluginList); ok {
		table.ListMeta = list.ListMeta
	} else if m, err := meta.CommonAccessor(object); err == nil {
		table.ResourceVersion = m.GetResourceVersion()
	}
	now := time.Now()
	add := func(item runtime.Object) error {
		if plugin, ok := item.(*v1alpha1.Plugin); ok {
			table.Rows = append(table.Rows, metav1.TableRow{Cells: cells(plugin, now), Object: runtime.RawExtension{Object: plugin}})
		}
		return nil
	}
	if meta.IsListType(object) {
		return table, meta.EachListItem(object, add)
	}
	return table, add(object)
}

func cells(p *v1alpha1.Plugin, now time.Time) []any {
	took := ""
	if p.Status.P99 != nil {
		took = p.Status.P99.Duration.String()
	}
	age := "<unknown>"
	if !p.CreationTimestamp.IsZero() {
		age = duration.HumanDuration(now.Sub(p.CreationTimestamp.Time))
	}
	return []any{
		p.Name, orNone(strings.Join(p.Status.Roles, ",")), orNone(p.Status.ABI), orNone(p.Status.Language), p.Status.State,
		orNone(p.Status.Revision), p.Status.Calls, p.Status.Denials, p.Status.Errors, orNone(took), age,
		p.Spec.FailurePolicy, int64(p.Status.Usage.Instances), p.Status.Usage.Memory.String(), orNone(p.Spec.Description),
		orNone(p.Status.Message),
	}
}

func orNone(text string) string {
	if text == "" {
		return "<none>"
	}
	return text
}
