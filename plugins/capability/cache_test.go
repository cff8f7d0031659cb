package capability_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/plugins/capability"
)

func TestTheCacheKeepsWhatItIsGivenForAsLongAsItIsTold(t *testing.T) {
	c := newClock()
	host := capability.Host{Now: c.Now}
	o := granted(t, host, "{cache: {maxTTL: 10m}}")
	expect(t, "before", o.ask("cache.get", `{"key":"a"}`), `{"found":false}`)
	expect(t, "set", o.ask("cache.set", `{"key":"a","value":{"b": [1, "ü"]},"ttl":"30s"}`), `{}`)
	expect(t, "set null", o.ask("cache.set", `{"key":"null","value":null}`), `{}`)
	c.advance(29 * time.Second)
	expect(t, "in time", o.ask("cache.get", `{"key":"a"}`), `{"found":true,"value":{"b":[1,"ü"]}}`)
	expect(t, "another plugin", granted(t, host, "{cache: {}}").ask("cache.get", `{"key":"a"}`), `{"found":false}`)
	c.advance(time.Second)
	expect(t, "at its end", o.ask("cache.get", `{"key":"a"}`), `{"found":false}`)
	expect(t, "null", o.ask("cache.get", `{"key":"null"}`), `{"found":true,"value":null}`)
	c.advance(30 * time.Second)
	expect(t, "after a minute", o.ask("cache.get", `{"key":"null"}`), `{"found":false}`)
}

func TestTheCacheRefuses(t *testing.T) {
	o := granted(t, capability.Host{}, "{cache: {maxBytes: 1Ki, maxTTL: 10m}}")
	for _, test := range []struct{ name, operation, payload, want string }{
		{"no key to look for", "cache.get", `{}`, "error: key is missing"},
		{"no key", "cache.set", `{"value":1}`, "error: key or value is missing"},
		{"no value", "cache.set", `{"key":"a"}`, "error: key or value is missing"},
		{"longer than may be", "cache.set", `{"key":"a","value":1,"ttl":"11m"}`, "error: ttl: 11m0s is not between 0 and 10m0s"},
		{"a time that has gone", "cache.set", `{"key":"a","value":1,"ttl":"-1s"}`, "error: ttl: -1s is not between …"},
		{"more than there is room for", "cache.set", fmt.Sprintf(`{"key":"a","value":%q}`, strings.Repeat("x", 1024)),
			"error: 1283 bytes have no room: this plugin's cache has 1024"},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, test.payload, o.ask(test.operation, test.payload), test.want) })
	}
}

func TestWhatWasNotAskedForLongestGoesFirst(t *testing.T) {
	o := granted(t, capability.Host{}, "{cache: {maxBytes: 1Ki}}") // room for three
	for _, key := range []string{"a", "b", "c"} {
		o.ask("cache.set", fmt.Sprintf(`{"key":%q,"value":1}`, key))
	}
	o.ask("cache.get", `{"key":"a"}`)
	o.ask("cache.set", `{"key":"d","value":1}`)
	o.ask("cache.set", `{"key":"d","value":2}`) // what is replaced takes no room
	for key, want := range map[string]string{"a": `{"found":true,"value":1}`, "b": `{"found":false}`, "c": `{"found":true,"value":1}`, "d": `{"found":true,"value":2}`} {
		expect(t, key, o.ask("cache.get", fmt.Sprintf(`{"key":%q}`, key)), want)
	}
}

func TestInstancesShareTheCache(t *testing.T) {
	o := granted(t, capability.Host{}, "{cache: {maxBytes: 4Ki}}")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				o.ask("cache.set", fmt.Sprintf(`{"key":"%d","value":%d}`, (i+j)%20, i))
				if got := o.ask("cache.get", fmt.Sprintf(`{"key":"%d"}`, (i+j)%20)); !strings.HasPrefix(got, `{"found":`) {
					t.Error(got)
				}
			}
		})
	}
	all.Wait()
}
