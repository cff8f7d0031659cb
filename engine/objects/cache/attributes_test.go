package cache

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

func TestSetsSayWhatTheirMapsSay(t *testing.T) {
	var shapes shapes
	for name, m := range map[string]map[string]string{
		"nothing":                   nil,
		"one":                       {"app": "web"},
		"several":                   {"app": "web", "a": "1", "tier": "", "zone": "eu"},
		"an empty name and value":   {"": ""},
		"values of all lengths":     {"a": strings.Repeat("x", 127), "b": strings.Repeat("y", 128), "c": strings.Repeat("z", 70000), "d": "end"},
		"names that look like bits": {"a\x01": "b", "a": "\x01"},
	} {
		t.Run(name, func(t *testing.T) {
			set := shapes.set(m)
			if diff := cmp.Diff(m, set.Map()); diff != "" {
				t.Errorf("all of it (-want +got):\n%s", diff)
			}
			for name, want := range m {
				if got, exists := set.Lookup(name); !exists || got != want || set.Get(name) != want || !set.Has(name) {
					t.Errorf("%q is %q, exists %t", name, got, exists)
				}
			}
			for _, absent := range []string{"absent", "app2", "zzz", "\x00"} {
				if value, exists := set.Lookup(absent); exists || value != "" || set.Get(absent) != "" || set.Has(absent) {
					t.Errorf("%q is there: %q", absent, value)
				}
			}
		})
	}
}

func TestSelectorsMatchSetsAsTheyMatchMaps(t *testing.T) {
	var shapes shapes
	objects := []map[string]string{nil, {"app": "web"}, {"app": "db", "tier": "back"}, {"tier": "3"}, {"app": ""}}
	for _, text := range []string{"", "app", "!app", "app=web", "app!=web", "app in (web,db),tier", "app notin (web)", "tier>2", "app="} {
		selector, err := labels.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range objects {
			if got, want := selector.Matches(shapes.set(m)), selector.Matches(labels.Set(m)); got != want {
				t.Errorf("labels %q match %v: %t, want %t", text, m, got, want)
			}
		}
	}
	for _, text := range []string{"", "app=web", "app!=web", "app=db,tier=back", "tier="} {
		selector, err := fields.ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range objects {
			if got, want := selector.Matches(shapes.set(m)), selector.Matches(fields.Set(m)); got != want {
				t.Errorf("fields %q match %v: %t, want %t", text, m, got, want)
			}
		}
	}
}

func TestNamesAreSharedAndBounded(t *testing.T) {
	var shapes shapes
	a, b := shapes.set(map[string]string{"x": "1", "y": "2"}), shapes.set(map[string]string{"y": "3", "x": "4"})
	if a.names != b.names {
		t.Error("two sets with the same names do not share them")
	}
	for i := range 3 * mostShapes {
		shapes.set(map[string]string{fmt.Sprint(i): ""})
		if n := len(shapes.known); n > mostShapes {
			t.Fatalf("%d shapes are remembered", n)
		}
	}
}

func TestAttributesAreMadeOnce(t *testing.T) {
	h := open(t, Options{})
	first := h.entryOf(t, labelled("a", "new"))
	form(t, first, h.version, JSON)
	if first.attributes.Load() != nil {
		t.Error("attributes were made before anybody asked for some")
	}
	for range 3 {
		attributes, err := first.Attributes()
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"metadata.name": "a", "metadata.namespace": "ns", "spec.nodeName": "", "status.phase": ""}
		if diff := cmp.Diff(want, attributes.Fields.Map()); diff != "" {
			t.Errorf("fields (-want +got):\n%s", diff)
		}
	}
	if n := h.decoded.Load(); n != 2 {
		t.Errorf("the pod was decoded %d times, want once for the form and once for the attributes", n)
	}

	second := h.entryOf(t, labelled("b", "new"))
	form(t, second, h.version, JSON)
	if second.attributes.Load() == nil {
		t.Error("attributes were not made along, though they are asked for")
	}
}

func TestAttributesThatCannotBeToldAreNoObstacleToReading(t *testing.T) {
	h := open(t, Options{})
	if _, err := h.entryOf(t, pod("good")).Attributes(); err != nil {
		t.Fatal(err)
	}
	bad := pod("bad")
	bad.Annotations = map[string]string{"attributes": "none"}
	e := h.entryOf(t, bad)
	if _, err := e.Attributes(); err == nil || !strings.Contains(err.Error(), "/registry/pods/ns/bad at revision 3: pod bad has none") {
		t.Errorf("got error %v", err)
	}
	form(t, e, h.version, JSON)
}
