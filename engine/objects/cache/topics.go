package cache

import (
	"errors"
	"strings"
	"sync/atomic"
	"time"
)

// topics is the watchers of one collection by what they want to see of it. dispatcher.mu guards it.
type topics struct {
	byKey map[topicKey]*topic
	// fields are the indexed ones, by each of which some watchers may be selected.
	fields []topicField
}

// topicKey is what a watcher wants to see: the keys in a scope, and of those, if there is a field, the objects that have a value
// in it, or had it before they changed.
type topicKey struct {
	scope        string
	field, value string
}

// topicField is an indexed field.
type topicField struct {
	name string
	// topics is how many there are with this field. It may be read without a lock, by those who bear that it is not the newest.
	topics *atomic.Int32
}

// topic is the watchers with one key.
type topic struct {
	watchers []*Watcher // in no order; each knows its place
	// batch collects what they will be handed next.
	batch  []*Event
	weight int64
	// due is when the next batch may be handed out.
	due time.Time
}

func newTopics(fields []string) topics {
	t := topics{byKey: map[topicKey]*topic{}}
	for _, field := range fields {
		t.fields = append(t.fields, topicField{name: field, topics: &atomic.Int32{}})
	}
	return t
}

const (
	// gatherPerWatcher is how much longer events gather for each watcher of a topic: some times what it costs to bring an event to
	// one, so that however many there are, handing out single events takes but a part of the time.
	gatherPerWatcher = 60 * time.Microsecond
	// leastGather is the time that is not worth waiting for.
	leastGather = time.Millisecond
)

// gatherTime is how long events gather after a batch has been handed out: not at all where there are few watchers.
func (t *topic) gatherTime() time.Duration {
	if gather := time.Duration(len(t.watchers)) * gatherPerWatcher; gather >= leastGather {
		return gather
	}
	return 0
}

// prepare makes what route will ask of events, which may take a decoding each. It needs no lock.
func (t *topics) prepare(events []*Event) {
	var keys []topicKey
	for _, e := range events {
		keys, _ = t.keys(e, keys[:0])
	}
}

// route adds events to every topic they belong to: those of everything, of each directory their key lies in, and of the key.
// filled are the topics that have a batch.
func (t *topics) route(prefix string, events []*Event, filled []*topic) []*topic {
	if len(t.byKey) == 0 {
		return filled
	}
	var keys []topicKey
	for _, e := range events {
		var unknown bool
		if keys, unknown = t.keys(e, keys[:0]); unknown {
			filled = t.addToFields(e, filled)
		}
		filled = t.add("", keys, e, filled)
		key := e.Entry.key
		for end := len(prefix); end < len(key); {
			slash := strings.IndexByte(key[end:], '/')
			if slash < 0 {
				break
			}
			end += slash + 1
			filled = t.add(key[:end], keys, e, filled)
		}
		filled = t.add(key, keys, e, filled)
	}
	return filled
}

// keys appends the keys, but for the scope, of the topics that an event may belong to: the one without a field, and one for each
// value that the object has or had in a field. unknown says that nobody knows them, for the object cannot be decoded, or could not be.
// One whose fields cannot be told otherwise is not selected by any.
func (t *topics) keys(e *Event, keys []topicKey) (all []topicKey, unknown bool) {
	keys = append(keys, topicKey{})
	for _, field := range t.fields {
		if field.topics.Load() == 0 {
			continue
		}
		before, had := e.Previous.field(field.name)
		after, has := e.Entry.field(field.name)
		if (!had && e.Previous.unreadable()) || (!has && e.Entry.unreadable()) {
			return keys[:1], true
		}
		if had {
			keys = append(keys, topicKey{field: field.name, value: before})
		}
		if has && !(had && before == after) {
			keys = append(keys, topicKey{field: field.name, value: after})
		}
	}
	return keys, false
}

// field is the value of a selectable field, if there is an entry and its fields can be told.
func (e *Entry) field(name string) (value string, told bool) {
	if e == nil {
		return "", false
	}
	attributes, err := e.Attributes()
	if err != nil {
		return "", false
	}
	return attributes.Fields.Get(name), true
}

// unreadable says that there is an entry that cannot be decoded.
func (e *Entry) unreadable() bool {
	if e == nil {
		return false
	}
	_, err := e.Attributes()
	return errors.Is(err, ErrUnreadable)
}

func (t *topics) add(scope string, keys []topicKey, e *Event, filled []*topic) []*topic {
	for _, key := range keys {
		key.scope = scope
		if topic := t.byKey[key]; topic != nil {
			filled = topic.add(e, filled)
		}
	}
	return filled
}

// addToFields adds an event to the topics of all values in whose scope it is: each of their watchers finds out what it means to it.
func (t *topics) addToFields(e *Event, filled []*topic) []*topic {
	for key, topic := range t.byKey {
		if key.field != "" && (WatchRequest{Scope: key.scope}).covers(e.Entry.key) {
			filled = topic.add(e, filled)
		}
	}
	return filled
}

func (t *topic) add(e *Event, filled []*topic) []*topic {
	if t.batch == nil {
		filled = append(filled, t)
	}
	t.batch = append(t.batch, e)
	t.weight += e.weight()
	return filled
}

// absent is the place of a watcher in no topic.
const absent = -1

func (t *topics) join(w *Watcher) {
	of := t.byKey[w.key]
	if of == nil {
		of = &topic{}
		t.byKey[w.key] = of
		t.count(w.key.field, 1)
	}
	w.place = len(of.watchers)
	of.watchers = append(of.watchers, w)
}

// leave takes a watcher out of its topic, where it must be.
func (t *topics) leave(w *Watcher) {
	of := t.byKey[w.key]
	last := len(of.watchers) - 1
	of.watchers[w.place] = of.watchers[last]
	of.watchers[w.place].place = w.place
	of.watchers[last] = nil
	of.watchers, w.place = of.watchers[:last], absent
	if last == 0 {
		delete(t.byKey, w.key)
		t.count(w.key.field, -1)
	}
}

// clear takes all out.
func (t *topics) clear() {
	for key := range t.byKey {
		t.count(key.field, -1)
	}
	clear(t.byKey)
}

func (t *topics) count(name string, by int32) {
	for _, field := range t.fields {
		if field.name == name {
			field.topics.Add(by)
		}
	}
}
