package read

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"weak"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"

	"gatehouse/engine/objects/cache"
)

// noSink keeps no audit events.
type noSink struct{}

func (noSink) ProcessEvents(...*auditinternal.Event) bool { return true }

func TestOnlyAnswersThatTheAuditLogKeepsAreLeftToUpstream(t *testing.T) {
	h := newHarness(t, cache.Options{})
	written := event("ADDED", "a", "1", h.write("a", "1"))
	for _, test := range []struct {
		level auditinternal.Level
		want  int
	}{
		{auditinternal.LevelNone, http.StatusOK},
		{auditinternal.LevelMetadata, http.StatusOK},
		{auditinternal.LevelRequest, http.StatusOK},
		{auditinternal.LevelRequestResponse, http.StatusTeapot},
	} {
		t.Run(string(test.level), func(t *testing.T) {
			ctx := audit.WithAuditContext(t.Context())
			if err := audit.AuditContextFrom(ctx).Init(audit.RequestAuditConfig{Level: test.level}, noSink{}); err != nil {
				t.Fatal(err)
			}
			recorder := httptest.NewRecorder()
			h.handler.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/configmaps", nil))
			if recorder.Code != test.want {
				t.Errorf("list: %d, want %d", recorder.Code, test.want)
			}
			// What a watch tells is no answer to keep.
			if got := h.watchWith(ctx, "", nil).next(1); got[0] != written {
				t.Errorf("watch: %s", got)
			}
		})
	}
	if left := h.counts.LeftToUpstream()[Audit]; left != 1 {
		t.Errorf("%d reads were left to upstream for the audit log, want 1", left)
	}
}

func TestALimitIsIgnoredByWhoTakesAnyResourceVersion(t *testing.T) {
	h := newHarness(t, cache.Options{})
	for n := range 3 {
		h.write(fmt.Sprint("object-", n), "1")
	}
	for query, want := range map[string]int{
		"?limit=1":                   1,
		"?limit=1&resourceVersion=0": 3,
		"?limit=1&resourceVersion=0&resourceVersionMatch=NotOlderThan": 3,
		"?limit=1&resourceVersion=1&resourceVersionMatch=NotOlderThan": 1,
	} {
		var list corev1.ConfigMapList
		if err := json.Unmarshal(h.get(query).Body.Bytes(), &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != want || (list.Continue == "") != (want == 3) {
			t.Errorf("%s: %d objects and the token %q, want %d", query, len(list.Items), list.Continue, want)
		}
	}
}

func TestWatchesShareRowsForASecond(t *testing.T) {
	var rows recentRows
	entries := make([]cache.Entry, mostRecentRows+1)
	made := printed{meta: metav1.ListMeta{ResourceVersion: "7"}}
	rows.add(&entries[0], 1, made)
	found := func(entry, second int) bool {
		known, found := rows.find(&entries[entry], int64(second))
		if found && known.meta.ResourceVersion != "7" {
			t.Errorf("found %+v", known)
		}
		return found
	}
	if got, want := []bool{found(0, 1), found(1, 1), found(0, 2)}, []bool{true, false, false}; !cmp.Equal(got, want) {
		t.Errorf("found %t, want %t", got, want)
	}
	for n := range entries {
		rows.add(&entries[n], 1, made)
	}
	if len(rows.byEntry) > mostRecentRows {
		t.Errorf("%d rows are remembered, at most %d may be", len(rows.byEntry), mostRecentRows)
	}
}

func TestRowsDoNotKeepInMemoryWhatTheyAreAbout(t *testing.T) {
	var rows recentRows
	entry := new(cache.Entry)
	about := weak.Make(entry)
	rows.add(entry, 1, printed{})
	if _, found := rows.find(entry, 1); !found {
		t.Error("what was printed just now is not found")
	}
	runtime.GC()
	if about.Value() != nil {
		t.Error("an entry is held that nobody but the rows could know")
	}
	runtime.KeepAlive(&rows)
}
