package capability_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"gatehouse/plugins/capability"
)

// site is a server on the loopback interface that counts its requests.
type site struct {
	*httptest.Server
	requests atomic.Int32
}

func serve(t *testing.T, handle http.HandlerFunc) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		handle(w, r)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it are what some tests are about
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// reaching is a grant of URLs on the loopback interface, for servers of httptest, changed by change.
func reaching(t *testing.T, s *site, urls []string, change func(*capability.HTTPGrant)) *operations {
	t.Helper()
	g := &capability.HTTPGrant{URLs: urls, Networks: []string{"127.0.0.0/8", "::1/128"}}
	g.Authorities = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	if change != nil {
		change(g)
	}
	text, err := yaml.Marshal(capability.Grants{HTTP: g}) // through the form in which users write it
	if err != nil {
		t.Fatal(err)
	}
	return granted(t, capability.Host{}, string(text))
}

func get(url string) string { return fmt.Sprintf(`{"url":%q}`, url) }

func TestFetchAnswersWhatTheServerDoes(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", strings.Join([]string{r.Proto, r.Method, r.URL.RequestURI(), r.Header.Get("X-Key"), string(body)}, " "))
		switch r.URL.Path {
		case "/v1/binary":
			_, _ = w.Write([]byte{0xff, 0})
		case "/v1/refused":
			http.Error(w, "no", http.StatusTeapot)
		default:
			_, _ = io.WriteString(w, "ü")
		}
	})
	o := reaching(t, s, []string{s.URL + "/v1/"}, func(g *capability.HTTPGrant) { g.Methods = []string{"GET", "POST"} })
	for _, test := range []struct {
		name, payload, seen, body, binary string
		status                            int
	}{
		{"a plain request", get(s.URL + "/v1/a?b=c"), "HTTP/2.0 GET /v1/a?b=c  ", "ü", "", 200},
		{"with a body and a header", fmt.Sprintf(`{"url":"%s/v1/a","method":"POST","headers":{"x-key":["k"]},"body":"hello"}`, s.URL),
			"HTTP/2.0 POST /v1/a k hello", "ü", "", 200},
		{"with a binary body", fmt.Sprintf(`{"url":"%s/v1/a","method":"POST","bodyBase64":"aGVsbG8="}`, s.URL), "HTTP/2.0 POST /v1/a  hello", "ü", "", 200},
		{"for binary data", get(s.URL + "/v1/binary"), "HTTP/2.0 GET /v1/binary  ", "", "\xff\x00", 200},
		{"that is refused", get(s.URL + "/v1/refused"), "HTTP/2.0 GET /v1/refused  ", "no\n", "", 418},
	} {
		t.Run(test.name, func(t *testing.T) {
			var answer struct {
				Status     int         `json:"status"`
				Headers    http.Header `json:"headers"`
				Body       string      `json:"body"`
				BodyBase64 []byte      `json:"bodyBase64"`
			}
			text := o.ask("http.fetch", test.payload)
			if err := json.Unmarshal([]byte(text), &answer); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if answer.Status != test.status || answer.Body != test.body || string(answer.BodyBase64) != test.binary || answer.Headers.Get("X-Seen") != test.seen {
				t.Errorf("got %s, want %+v", text, test)
			}
		})
	}
}

func TestFetchRefusesBeforeItConnects(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	o := reaching(t, s, []string{s.URL + "/api", s.URL + "/files/"}, nil)
	port := strings.TrimPrefix(s.URL, "https://127.0.0.1")
	for _, test := range []struct{ name, payload, want string }{
		{"another path", get(s.URL + "/other"), "error: the URL " + s.URL + "/other is not granted to this plugin: add it, …"},
		{"a path that begins alike", get(s.URL + "/apis"), "…is not granted"},
		{"the folder that a path is in", get(s.URL + "/files"), "…is not granted"},
		{"the root", get(s.URL), "…is not granted"},
		{"another port", get("https://127.0.0.1:1/api"), "…is not granted"},
		{"another scheme", get("http://127.0.0.1" + port + "/api"), "…is not granted"},
		{"another name of the host", get("https://localhost" + port + "/api"), "…is not granted"},
		{"a path that leads out", get(s.URL + "/api/../other"), `…has the segment ".." in its path`},
		{"a path that leads out for some", get(s.URL + "/api/..;/other"), `…has the segment "..;" in its path`},
		{"dots in disguise", get(s.URL + "/api/%2E%2e/other"), "…has %2e in its path"},
		{"a slash in disguise", get(s.URL + "/api/..%2Fother"), "…has %2f in its path"},
		{"a disguise in disguise", get(s.URL + "/api/%252e%252e/other"), "…has %25 in its path"},
		{"a backslash", get(s.URL + `/api/..\other`), "…in its path"},
		{"a user that looks like the host", get("https://127.0.0.1" + port + "@evil.example/api"), "…has a user"},
		{"a file", get("file:///etc/passwd"), "…must begin with https://"},
		{"no URL", get("https://[::1/api"), "…is no URL"},
		{"a method", fmt.Sprintf(`{"url":"%s/api","method":"DELETE"}`, s.URL), `error: the method "DELETE" is not granted to this plugin: …`},
		{"a header of the connection's", fmt.Sprintf(`{"url":"%s/api","headers":{"Host":["evil.example"]}}`, s.URL), `error: the header "Host" is the server's to set`},
		{"a header that ends the header", fmt.Sprintf(`{"url":"%s/api","headers":{"X":["a\r\nHost: b"]}}`, s.URL), `error: the header "X", or one of its values, is none`},
		{"two bodies", fmt.Sprintf(`{"url":"%s/api","body":"a","bodyBase64":"YQ=="}`, s.URL), "error: body and bodyBase64 are both there"},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, test.payload, o.ask("http.fetch", test.payload), test.want) })
	}
	if n := s.requests.Load(); n != 0 {
		t.Errorf("the server got %d requests", n)
	}
	for _, allowed := range []string{"/api", "/api/a", "/files/", "/files/a"} {
		if got := o.ask("http.fetch", get(s.URL+allowed)); !strings.HasPrefix(got, `{"status":200`) {
			t.Errorf("%s: %s", allowed, got)
		}
	}
}

func TestAddressesThatAreNotPublicAreNotConnectedTo(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	localhost := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	for _, test := range []struct {
		name, url string
		networks  []string
		want      string
	}{
		{"an address that the URL names", s.URL + "/", nil, "…the address 127.0.0.1 is not public, and not granted to this plugin"},
		{"an address that a name leads to", localhost + "/", nil, "…is not public, and not granted to this plugin"},
		{"another network's", s.URL + "/", []string{"10.0.0.0/8"}, "…the address 127.0.0.1 is not public"},
		{"one that is granted", s.URL + "/", []string{"127.0.0.1/32"}, `{"status":200,…`},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := s.requests.Load()
			o := reaching(t, s, []string{test.url}, func(g *capability.HTTPGrant) { g.Networks = test.networks })
			got := o.ask("http.fetch", get(test.url))
			expect(t, test.url, got, test.want)
			if reached := s.requests.Load() > before; reached != strings.HasPrefix(got, "{") {
				t.Errorf("the server was reached: %v", reached)
			}
		})
	}
}

func TestWhatIsPublic(t *testing.T) {
	for _, test := range []struct {
		address string
		granted []string
		want    bool
	}{
		{"8.8.8.8", nil, true},
		{"2606:4700:4700::1111", nil, true},
		{"127.0.0.1", nil, false},
		{"::1", nil, false},
		{"::ffff:127.0.0.1", nil, false},
		{"::127.0.0.1", nil, false},
		{"0.0.0.0", nil, false},
		{"10.1.2.3", nil, false},
		{"192.168.1.1", nil, false},
		{"fd00:ec2::254", nil, false},
		{"169.254.169.254", nil, false},
		{"::ffff:169.254.169.254", nil, false},
		{"64:ff9b::a9fe:a9fe", nil, false},
		{"2002:a9fe:a9fe::1", nil, false},
		{"fe80::1%eth0", nil, false},
		{"100.100.100.200", nil, false},
		{"168.63.129.16", nil, false},
		{"192.0.0.192", nil, false},
		{"224.0.0.1", nil, false},
		{"255.255.255.255", nil, false},
		{"10.1.2.3", []string{"10.0.0.0/8"}, true},
		{"::ffff:10.1.2.3", []string{"10.0.0.0/8"}, true},
		{"169.254.169.254", []string{"10.0.0.0/8"}, false},
		{"169.254.169.254", []string{"169.254.169.254/32"}, true},
		{"fe80::1%eth0", []string{"fe80::/10"}, true},
	} {
		got, err := capability.Reaches(test.granted, netip.MustParseAddr(test.address))
		if err != nil || got != test.want {
			t.Errorf("%s with %v: got %v, %v, want %v", test.address, test.granted, got, err, test.want)
		}
	}
}

func TestRedirectsLeadNowhereThatIsNotGranted(t *testing.T) {
	var key atomic.Value
	key.Store("")
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		key.Store(r.Header.Get("X-Key") + r.Header.Get("Referer"))
	})
	target := ""
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/to":
			http.Redirect(w, r, target, http.StatusTemporaryRedirect)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		default:
			key.Store(r.Header.Get("X-Key"))
		}
	})
	for _, test := range []struct{ name, path, to, want, key string }{
		{"within the site", "/to", "/here", `{"status":200,…`, "secret"},
		{"to another that is granted, which does not get the header", "/to", other.URL + "/granted", `{"status":200,…`, ""},
		{"to another place of it", "/to", other.URL + "/else", "…a redirect: the URL " + other.URL + "/else is not granted", ""},
		{"to where clouds tell secrets", "/to", "http://169.254.169.254/latest/meta-data", "…a redirect: the URL http://169.254.169.254/latest/meta-data is not granted", ""},
		{"to a file", "/to", "file:///etc/passwd", "…a redirect to a URL that must begin with https://", ""},
		{"round and round", "/loop", "", "…more than 5 redirects", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			target = test.to
			key.Store("")
			before := other.requests.Load()
			o := reaching(t, s, []string{s.URL, other.URL + "/granted"}, nil)
			got := o.ask("http.fetch", fmt.Sprintf(`{"url":%q,"headers":{"X-Key":["secret"]}}`, s.URL+test.path))
			expect(t, test.path, got, test.want)
			if key.Load() != test.key {
				t.Errorf("the last site saw the header %q, want %q", key.Load(), test.key)
			}
			if reached := other.requests.Load() > before; reached != strings.Contains(test.to, "/granted") {
				t.Errorf("the other site was reached: %v", reached)
			}
		})
	}
	o := reaching(t, s, []string{s.URL, other.URL + "/granted"}, func(g *capability.HTTPGrant) { g.Methods = []string{"POST"} })
	target = other.URL + "/granted"
	expect(t, "not followed", o.ask("http.fetch", fmt.Sprintf(`{"url":%q,"method":"POST","followRedirects":false}`, s.URL+"/loop")), `{"status":3…`)
	expect(t, "a body", o.ask("http.fetch", fmt.Sprintf(`{"url":%q,"method":"POST","body":"b"}`, s.URL+"/to")), "…a redirect of a request's body to another origin")
}

func TestResponsesAreBounded(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(make([]byte, 2<<20))
	_ = w.Close()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/exact":
			_, _ = w.Write(make([]byte, 1024))
		case "/long":
			_, _ = w.Write(make([]byte, 1025))
		case "/packed":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes())
		case "/header":
			w.Header().Set("X-Long", strings.Repeat("x", 128<<10))
		}
	})
	o := reaching(t, s, []string{s.URL}, func(g *capability.HTTPGrant) { g.MaxBytes.Set(1024) })
	expect(t, "as long as may be", o.ask("http.fetch", get(s.URL+"/exact")), `{"status":200,…`)
	expect(t, "too long", o.ask("http.fetch", get(s.URL+"/long")), "error: the response has more than the 1024 bytes of capabilities.http.maxBytes")
	byDefault := reaching(t, s, []string{s.URL}, nil)
	expect(t, "too long unpacked", byDefault.ask("http.fetch", get(s.URL+"/packed")), "error: the response has more than the 1048576 bytes …")
	expect(t, "a long header", o.ask("http.fetch", get(s.URL+"/header")), "error: …")
}

func TestAFetchEndsInTime(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	o := reaching(t, s, []string{s.URL}, func(g *capability.HTTPGrant) { g.Timeout.Duration = 50 * time.Millisecond })
	expect(t, "its own timeout", o.ask("http.fetch", get(s.URL)), "error: it took longer than the timeout of 50ms")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	patient := reaching(t, s, []string{s.URL}, nil)
	expect(t, "the call's deadline", patient.askIn(ctx, "http.fetch", get(s.URL)), "error: it was not done when the plugin's call had to be: …")
}

func TestServersMustBeWhoTheySay(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	o := reaching(t, s, []string{s.URL}, func(g *capability.HTTPGrant) { g.Authorities = "" })
	expect(t, "an unknown authority", o.ask("http.fetch", get(s.URL)), "…certificate")
	if n := s.requests.Load(); n != 0 {
		t.Errorf("the server got %d requests", n)
	}
}

func TestTheEnvironmentsProxyIsNotAsked(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	o := granted(t, capability.Host{}, "{http: {urls: ['http://nowhere.invalid/'], networks: [127.0.0.0/8]}}")
	expect(t, "no such host", o.ask("http.fetch", get("http://nowhere.invalid/")), "error: …")
	if n := asked.Load(); n != 0 {
		t.Errorf("the proxy got %d requests", n)
	}
}
