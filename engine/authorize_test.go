package engine

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"gatehouse/engine/authz"
	"gatehouse/engine/files"
)

// TestRefusalsAndAnnotations is about what the second gate says, to the client and in the audit event.
func TestRefusalsAndAnnotations(t *testing.T) {
	policies := filepath.Join(t.TempDir(), "policies")
	const janes = `{"apiVersion":"authorization.k8s.io/v1","kind":"Policy","spec":{"subjects":[{"kind":"User","name":"jane"}],"verbs":["get"],"resources":[{"apiGroups":[""],"resources":["pods"]}]}}`
	if err := os.WriteFile(policies, []byte(janes), 0o600); err != nil {
		t.Fatal(err)
	}
	set := files.NewSet(slog.New(slog.DiscardHandler))
	defer set.Close()
	chain, err := authz.New(authz.Options{Members: []string{"alwaysDeny", "abac"}, PolicyFile: policies, Files: set, OpenPaths: []string{"/readyz"}})
	if err != nil {
		t.Fatal(err)
	}
	pod := &request.RequestInfo{IsResourceRequest: true, Verb: "get", APIVersion: "v1", Namespace: "default", Resource: "pods", Name: "a"}
	for name, test := range map[string]struct {
		who     user.DefaultInfo
		info    *request.RequestInfo
		refused string
		said    map[string]string
	}{
		"allowed by a policy": {
			who: user.DefaultInfo{Name: "jane"}, info: pod,
			said: map[string]string{
				"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "ABAC: allowed by the policy on line 1",
				"authorization.gatehouse.dev/member": "abac",
			},
		},
		"an administrator": {
			who: user.DefaultInfo{Name: "root", Groups: []string{"system:masters"}}, info: pod,
			said: map[string]string{
				"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "",
				"authorization.gatehouse.dev/member": "kubernetes.io/system-privileged-group",
			},
		},
		"allowed by nobody": {
			who: user.DefaultInfo{Name: "joe"}, info: pod,
			refused: `pods "a" is forbidden: User "joe" cannot get resource "pods" in API group "" in the namespace "default": ` +
				"alwaysdeny: Everything is forbidden.\nabac: No policy matched.",
			said: map[string]string{
				"authorization.k8s.io/decision": "forbid",
				"authorization.k8s.io/reason":   "alwaysdeny: Everything is forbidden.\nabac: No policy matched.",
			},
		},
		"a path": {
			who: user.DefaultInfo{Name: "joe"}, info: &request.RequestInfo{Verb: "get", Path: "/metrics"},
			refused: `forbidden: User "joe" cannot get path "/metrics": ` + "alwaysdeny: Everything is forbidden.\nabac: No policy matched.",
			said: map[string]string{
				"authorization.k8s.io/decision": "forbid",
				"authorization.k8s.io/reason":   "alwaysdeny: Everything is forbidden.\nabac: No policy matched.",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			passed := false
			gate := authorize(chain)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true }))
			ctx := audit.WithAuditContext(request.WithUser(request.WithRequestInfo(t.Context(), test.info), &test.who))
			event := audit.AuditContextFrom(ctx)
			if err := event.Init(audit.RequestAuditConfig{Level: auditinternal.LevelMetadata}, nil); err != nil {
				t.Fatal(err)
			}
			answer := httptest.NewRecorder()
			gate.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))

			if passed != (test.refused == "") {
				t.Errorf("passed is %v", passed)
			}
			if test.refused != "" {
				var status metav1.Status
				if err := json.Unmarshal(answer.Body.Bytes(), &status); err != nil {
					t.Fatal(err)
				}
				if answer.Code != http.StatusForbidden || status.Reason != metav1.StatusReasonForbidden || status.Message != test.refused {
					t.Errorf("%d %s\n\t%s\nwant 403 Forbidden\n\t%s", answer.Code, status.Reason, status.Message, test.refused)
				}
			}
			said := map[string]string{}
			for _, key := range []string{"authorization.k8s.io/decision", "authorization.k8s.io/reason", authz.MemberAnnotation} {
				if value, found := event.GetEventAnnotation(key); found {
					said[key] = value
				}
			}
			if diff := cmp.Diff(test.said, said); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}
