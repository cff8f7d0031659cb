package cases

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/plugins"
	"gatehouse/plugins/sandbox"
)

const podReview = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE",
	"kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},"name":"web","namespace":"default",
	"userInfo":{"username":"jane"},"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"default",
	"labels":{"a/b":"1","kept":"2"}},"spec":{"priority":9007199254740993,"containers":[{"name":"c","image":"nginx"}]}}}}`

func TestRecordsBecomeCasesThatLoad(t *testing.T) {
	for name, test := range map[string]struct {
		record plugins.Record
		want   string
	}{
		"a patch": {
			plugins.Record{Role: sandbox.Admit, Decision: "allowed", Review: []byte(podReview), Warnings: []string{"mind (the) gap"},
				Annotations: map[string]string{"why": "because"},
				Patch: []byte(`[{"op":"remove","path":"/metadata/labels/a~1b"},{"op":"add","path":"/metadata/labels/c","value":"d"},
					{"op":"replace","path":"/spec/containers/0/image","value":"mirror/nginx"}]`)},
			`  want:
    absent:
    - /metadata/labels/a~1b
    annotations:
      p/why: because
    decision: allowed
    object:
      metadata:
        labels:
          c: d
      spec:
        containers:
        - image: mirror/nginx
          name: c
    warnings:
    - ^mind \(the\) gap$
`},
		"a patch that changes nothing": {
			plugins.Record{Role: sandbox.Admit, Decision: "allowed", Review: []byte(podReview), Patch: []byte(`[{"op":"replace","path":"/metadata/name","value":"web"}]`)},
			"  want:\n    decision: allowed\n    unchanged: true\n"},
		"a denial": {
			plugins.Record{Role: sandbox.Admit, Decision: "denied", Code: 422, Message: "not *this*", Review: []byte(podReview)},
			"- name: CREATE Pod default/web by jane is denied\n"},
		"a failure": {
			plugins.Record{Role: sandbox.Admit, Decision: "failed", Message: "deadline of 1s exceeded", Review: []byte(podReview)},
			"  want:\n    decision: failed\n"},
		"a question": {
			plugins.Record{Role: sandbox.Authorize, Decision: "no_opinion", Review: []byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview",
				"spec":{"user":"jane","resourceAttributes":{"verb":"get","version":"v1","resource":"pods","subresource":"log","namespace":"default","name":"web"}}}`)},
			"- name: get pods/log default/web by jane is left to others\n"},
		"another question": {
			plugins.Record{Role: sandbox.Authorize, Decision: "denied", Message: "no", Review: []byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview",
				"spec":{"user":"jane","nonResourceAttributes":{"verb":"get","path":"/metrics"}}}`)},
			"- name: get /metrics by jane is denied\n"},
		"a hidden token": {
			plugins.Record{Role: sandbox.Authenticate, Decision: "denied", Hidden: true, Review: []byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview",
				"spec":{"token":"(hidden)"}}`)},
			"- name: a token has wrong credentials (secrets are hidden)\n"},
		"a request": {
			plugins.Record{Role: sandbox.Authenticate, Decision: "no_opinion", Review: []byte(`{"apiVersion":"gatehouse.dev/v1","kind":"RequestReview",
				"spec":{"method":"GET","path":"/api"}}`)},
			"- name: GET /api is left to others\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := FromRecord("p", &test.record)
			if err != nil {
				t.Fatal(err)
			}
			text, err := c.YAML()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), test.want) {
				t.Errorf("got\n%s\nwant in it\n%s", text, test.want)
			}
			path := filepath.Join(t.TempDir(), "cases.yaml")
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			load(t, path)
			if strings.Contains(string(test.record.Review), "9007199254740993") && !strings.Contains(string(text), "9007199254740993") {
				t.Errorf("a large number has changed:\n%s", text)
			}
		})
	}
}

func TestRecordsThatAreNoneAreTold(t *testing.T) {
	for review, want := range map[string]string{
		`null`:           `its kind "" is none`,
		`{"kind":"Pod"}`: `its kind "Pod" is none`,
		`no JSON`:        "invalid character",
	} {
		if _, err := FromRecord("p", &plugins.Record{Review: []byte(review)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", review, err, want)
		}
	}
}
