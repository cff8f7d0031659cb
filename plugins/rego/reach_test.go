package rego_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/plugins/capability"
	"gatehouse/plugins/rego"
	"gatehouse/plugins/sandbox"
)

func TestHTTPSendIsFetchedWithinItsGrant(t *testing.T) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Count", fmt.Sprint(requests.Add(1)))
		switch r.URL.Path {
		case "/v1/json":
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			var body any
			_ = json.NewDecoder(r.Body).Decode(&body) // null where there is none
			_ = json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "key": r.Header["X-Key"], "body": body})
		case "/v1/text":
			fmt.Fprint(w, `{"a":1}`)
		case "/v1/elsewhere":
			http.Redirect(w, r, "/v1/text", http.StatusFound)
		case "/v1/hangs":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	operations, err := capability.Host{}.Operations("policy", capability.Grants{HTTP: &capability.HTTPGrant{
		URLs: []string{server.URL + "/v1/"}, Methods: []string{"GET", "POST"}, Networks: []string{"127.0.0.0/8"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	granted := open(t, "plugins/rego/testdata/send", "", rego.Options{Operations: operations})
	for _, test := range []struct{ name, send, want string }{
		{"JSON is a value", `"url":"@/v1/json","method":"get","headers":{"X-Key":"k"}`, `denied: 200 {"body": null, "key": ["k"], "method": "GET"} {} ["#"]`},
		{"a body is sent as JSON", `"url":"@/v1/json","method":"POST","body":{"a":[1]}`,
			`denied: 200 {"body": {"a": [1]}, "key": null, "method": "POST"} {} ["#"]`},
		{"a raw body is sent as it is", `"url":"@/v1/json","method":"POST","raw_body":"[2]"`,
			`denied: 200 {"body": [2], "key": null, "method": "POST"} {} ["#"]`},
		{"other bodies are no value", `"url":"@/v1/text","method":"GET"`, `denied: 200 null {} ["#"]`},
		{"unless that is asked for", `"url":"@/v1/text","method":"GET","force_json_decode":true`, `denied: 200 {"a": 1} {} ["#"]`},
		{"and YAML is", `"url":"@/v1/text","method":"GET","force_yaml_decode":true,"cache":true`, `denied: 200 {"a": 1} {} ["#"]`},
		{"a redirect is an answer", `"url":"@/v1/elsewhere","method":"GET"`, `denied: 302 null {} ["#"]`},
		{"unless it is to be followed", `"url":"@/v1/elsewhere","method":"GET","enable_redirect":true,"force_json_decode":true`, `denied: 200 {"a": 1} {} ["#"]`},
		{"another status is one, too", `"url":"@/v1/nothing","method":"GET"`, `denied: 404 null {} ["#"]`},
		{"what is not granted is a fault", `"url":"@/v2","method":"GET"`, `failed: evaluate send/deny: http.send: GET @/v2: the URL @/v2 is not granted to this plugin`},
		{"so is another method", `"url":"@/v1/text","method":"DELETE"`, `failed: evaluate send/deny: http.send: DELETE @/v1/text: the method "DELETE" is not granted`},
		{"so is what takes too long", `"url":"@/v1/hangs","method":"GET","timeout":"20ms"`, `failed: evaluate send/deny: http.send: GET @/v1/hangs: it took longer than the policy's timeout`},
		{"and what a policy cannot have", `"url":"@/v1/text","method":"GET","tls_insecure_skip_verify":true`,
			`failed: evaluate send/deny: http.send: tls_insecure_skip_verify: whom to trust is for the plugin's configuration to say`},
		{"and what there is not", `"url":"@/v1/text","method":"GET","proxy":"x"`, `failed: evaluate send/deny: http.send: proxy: is not known here`},
		{"a policy may ask to be told", `"url":"@/v2","method":"GET","raise_error":false`,
			`denied: 0 `},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := requests.Load()
			request := fmt.Sprintf(`"object":{"send":{%s}}`, strings.ReplaceAll(test.send, "@", server.URL))
			got := strings.ReplaceAll(verdict(ask(granted, request)), server.URL, "@")
			got = strings.ReplaceAll(got, fmt.Sprintf(`["%d"]`, requests.Load()), `["#"]`)
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if strings.HasPrefix(test.want, "denied: 200") && !strings.Contains(test.send, "redirect") && requests.Load() != before+1 {
				t.Errorf("%d requests have been made, want one", requests.Load()-before)
			}
		})
	}
	denied := open(t, "plugins/rego/testdata/send", "", rego.Options{})
	const want = "failed: evaluate send/deny: http.send: is not granted to this plugin: it needs the capability http.fetch"
	if got := verdict(ask(denied, `"object":{"send":{"url":"http://example.com","method":"GET"}}`)); got != want {
		t.Errorf("without a grant: got  %s\nwant %s", got, want)
	}
}

// cluster is what can be read: lists by kind and namespace, and how often they have been.
type cluster struct {
	lists   map[string][]string
	changed map[string]int64
	read    int
	// lost is a kind of which nothing can be told.
	lost string
}

func (c *cluster) Get(context.Context, schema.GroupVersionKind, string, string, int64) ([]byte, error) {
	return nil, nil
}

func (c *cluster) List(_ context.Context, kind schema.GroupVersionKind, namespace, _ string, maxObjects int, maxBytes int64) ([]byte, error) {
	c.read++
	items := c.lists[kind.Kind+"/"+namespace]
	list := fmt.Sprintf(`{"kind":%q,"metadata":{},"items":[%s]}`, kind.Kind+"List", strings.Join(items, ","))
	if len(items) > maxObjects || int64(len(list)) > maxBytes {
		return nil, fmt.Errorf("more than %d objects or %d bytes", maxObjects, maxBytes)
	}
	return []byte(list), nil
}

func (c *cluster) Changed(_ context.Context, kind schema.GroupVersionKind) (int64, error) {
	if kind.Kind == c.lost {
		return 0, fmt.Errorf("no %s is known", kind.Kind)
	}
	return c.changed[kind.Kind], nil
}

func (c *cluster) set(kind, namespace string, items ...string) {
	c.lists[kind+"/"+namespace] = items
	c.changed[kind]++
}

func TestDataInventoryHoldsWhatIsGrantedAndFollowsIt(t *testing.T) {
	c := &cluster{lists: map[string][]string{}, changed: map[string]int64{}}
	c.set("Namespace", "", `{"metadata":{"name":"shop","labels":{"open":"yes"}}}`)
	c.set("ConfigMap", "shop", `{"metadata":{"name":"a","namespace":"shop"},"data":{"host":"a.example.com"}}`)
	grants := capability.Grants{Kubernetes: &capability.KubernetesGrant{MaxBytes: resource.MustParse("4Ki"), Objects: []capability.ObjectsGrant{
		{APIVersion: "v1", Kind: "Namespace"}, {APIVersion: "v1", Kind: "ConfigMap", Namespaces: []string{"shop", "team-*"}},
		{APIVersion: "v1", Kind: "Secret", Names: []string{"key"}},
	}}}
	inventory, err := capability.Host{Objects: c}.Inventory(grants)
	if err != nil {
		t.Fatal(err)
	}
	m := open(t, "plugins/rego/testdata/unique", "", rego.Options{Inventory: inventory})
	if c.read != 0 {
		t.Errorf("%d lists have been read before somebody asked", c.read)
	}
	for _, step := range []struct {
		name          string
		change        func()
		request, want string
		read          int
	}{
		{"a claim that another has", func() {}, claim("shop", "b", "a.example.com"), `denied: ConfigMap shop/a of v1 claims "a.example.com"`, 2},
		{"its own claim", func() {}, claim("shop", "a", "a.example.com"), "allowed", 2},
		{"a claim that nobody has", func() {}, claim("shop", "b", "b.example.com"), "allowed", 2},
		{"a namespace that is not there", func() {}, claim("store", "b", "b.example.com"), "denied: the namespace store is closed", 2},
		{"once somebody has it", func() {
			c.set("ConfigMap", "shop", `{"metadata":{"name":"c","namespace":"shop"},"data":{"host":"b.example.com"}}`)
		}, claim("shop", "b", "b.example.com"), `denied: ConfigMap shop/c of v1 claims "b.example.com"`, 3},
		{"and the other has gone", func() {}, claim("shop", "b", "a.example.com"), "allowed", 3},
		{"more than there is room for", func() {
			c.set("Namespace", "", fmt.Sprintf(`{"metadata":{"name":"large","labels":{"text":%q}}}`, strings.Repeat("x", 4<<10)))
		}, claim("shop", "b", "a.example.com"), "failed: cannot read data.inventory: list every Namespace: more than ", 4},
		{"until there is room again", func() { c.set("Namespace", "", `{"metadata":{"name":"shop","labels":{"open":"yes"}}}`) },
			claim("shop", "b", "a.example.com"), "allowed", 5},
		{"something has changed, and of something else nothing can be told", func() {
			c.set("Namespace", "", `{"metadata":{"name":"shop"}}`)
			c.lost = "ConfigMap"
		}, claim("shop", "b", "a.example.com"), "failed: cannot read data.inventory: list every ConfigMap: no ConfigMap is known", 6},
		{"until that can be told again", func() { c.lost = "" }, claim("shop", "b", "a.example.com"), "denied: the namespace shop is closed", 6},
		{"and it has changed back", func() { c.set("Namespace", "", `{"metadata":{"name":"shop","labels":{"open":"yes"}}}`) },
			claim("shop", "b", "a.example.com"), "allowed", 7},
	} {
		step.change()
		if got := verdict(ask(m, step.request)); !strings.HasPrefix(got, step.want) {
			t.Errorf("%s: got  %s\nwant %s", step.name, got, step.want)
		}
		if c.read != step.read {
			t.Errorf("%s: %d lists have been read so far, want %d", step.name, c.read, step.read)
		}
	}
	for range 200 { // what has been is not left in the guest's memory
		c.changed["ConfigMap"]++
		if got := verdict(ask(m, claim("shop", "b", "a.example.com"))); got != "allowed" {
			t.Fatal(got)
		}
	}
}

// claim is a request for a ConfigMap with a host.
func claim(namespace, name, host string) string {
	return fmt.Sprintf(`"operation":"CREATE","namespace":%q,"name":%q,"object":{"metadata":{"namespace":%[1]q,"name":%[2]q},"data":{"host":%q}}`,
		namespace, name, host)
}

func TestAPolicyThatReadsTheInventoryMustBeGrantedOne(t *testing.T) {
	_, err := load(policy(t, "plugins/rego/testdata/unique"), "", rego.Options{}, sandbox.Limits{})
	if err == nil || !strings.Contains(err.Error(), "reads data.inventory, and is granted no objects to have there: add ") {
		t.Errorf("got %v", err)
	}
	for _, nothing := range []capability.Grants{{}, {Kubernetes: &capability.KubernetesGrant{Objects: []capability.ObjectsGrant{
		{APIVersion: "v1", Kind: "Secret", Names: []string{"key"}}, {APIVersion: "v1", Kind: "ConfigMap", Namespaces: []string{"team-*"}},
	}}}} {
		if inventory, err := (capability.Host{}).Inventory(nothing); inventory != nil || err != nil {
			t.Errorf("there is an inventory of %+v, or an error: %v", nothing, err)
		}
	}
}
