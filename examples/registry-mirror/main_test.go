package main

import "testing"

func TestImagesHaveMirrors(t *testing.T) {
	if err := configure([]byte(`{"mirrors":{"docker.io":"m.example.org/hub","ghcr.io":"m.example.org","m.example.org":"m.example.org/own","localhost:5000":"m.example.org"}}`)); err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]string{
		"nginx":                                "m.example.org/hub/library/nginx",
		"nginx:1.29@sha256:abc":                "m.example.org/hub/library/nginx:1.29@sha256:abc",
		"grafana/loki":                         "m.example.org/hub/grafana/loki",
		"docker.io/nginx":                      "m.example.org/hub/library/nginx",
		"index.docker.io/grafana/loki:3":       "m.example.org/hub/grafana/loki:3",
		"ghcr.io/a/b/c:v1":                     "m.example.org/a/b/c:v1",
		"localhost:5000/x":                     "m.example.org/x",
		"localhost/x":                          "localhost/x",
		"quay.io/a/b":                          "quay.io/a/b",
		"ghcr.io.example.net/a":                "ghcr.io.example.net/a",
		"UPPER/a":                              "UPPER/a",
		"m.example.org/hub/library/nginx:1.29": "m.example.org/own/hub/library/nginx:1.29",
		"m.example.org/own/a":                  "m.example.org/own/a",
	} {
		if got := mirrorOf(image); got != want {
			t.Errorf("the mirror of %q is %q, want %q", image, got, want)
		}
	}
}

func TestMirrorsMustBeNames(t *testing.T) {
	for _, settings := range []string{
		`{}`, `{"mirrors":{}}`, `{"mirror":{"docker.io":"m"}}`, `{"mirrors":{"docker.io":""}}`, `{"mirrors":[]}`,
		`{"mirrors":{"docker.io":"https://m"}}`, `{"mirrors":{"docker.io":"m/"}}`,
	} {
		if err := configure([]byte(settings)); err == nil {
			t.Errorf("%s is taken", settings)
		}
	}
}
