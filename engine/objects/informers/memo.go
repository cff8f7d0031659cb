package informers

import (
	"container/list"
	"sync"
	"sync/atomic"

	"gatehouse/engine/objects/cache"
)

// decoded is what decoding an entry gave.
type decoded struct {
	object any
	err    error
}

// memo remembers decoded objects: of each key the newest state that was asked for, the least recently used ones going first
// when they are too many, and some of the states that were replaced last, since those are what handlers are told of beside the
// new ones. It is safe for concurrent use.
type memo struct {
	limit int64 // of bytes

	mu    sync.RWMutex // guards all below
	bytes int64
	slots map[string]*list.Element // of *slot, by the entry's key
	order *list.List               // the one to go next at the front
	past  [pastStates]state
	next  int // where in past the next one goes
}

// pastStates is how many replaced states are remembered.
const pastStates = 32

type state struct {
	entry *cache.Entry
	decoded
}

type slot struct {
	state
	// used since it was last passed over. It is set under the read lock.
	used atomic.Bool
}

func newMemo(limit int64) *memo {
	return &memo{limit: limit, slots: map[string]*list.Element{}, order: list.New()}
}

// get finds what is remembered of an entry.
func (m *memo) get(e *cache.Entry) (d decoded, found bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.find(e)
}

// find is get. mu must be held.
func (m *memo) find(e *cache.Entry) (d decoded, found bool) {
	if element := m.slots[e.Key()]; element != nil {
		if s := element.Value.(*slot); s.entry == e {
			if !s.used.Load() {
				s.used.Store(true)
			}
			return s.decoded, true
		}
	}
	for i := range m.past {
		if m.past[i].entry == e {
			return m.past[i].decoded, true
		}
	}
	return decoded{}, false
}

// put remembers what an entry was decoded to, unless it is known by now: then it returns what is known, so that all see the same
// object. gone says that the entry is the last state of an object that is no more.
func (m *memo) put(e *cache.Entry, d decoded, gone bool) decoded {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, found := m.find(e); found {
		return known
	}
	element := m.slots[e.Key()]
	newer := element != nil && element.Value.(*slot).entry.Revision() > e.Revision()
	if element != nil && !newer {
		m.drop(element)
	}
	if gone || newer {
		m.addPast(state{e, d})
		return d
	}
	m.slots[e.Key()] = m.order.PushBack(&slot{state: state{e, d}})
	m.bytes += cost(e)
	m.shrink()
	return d
}

// drop forgets a slot, except for the past. mu must be held.
func (m *memo) drop(element *list.Element) {
	s := m.order.Remove(element).(*slot)
	delete(m.slots, s.entry.Key())
	m.bytes -= cost(s.entry)
	m.addPast(s.state)
}

func (m *memo) addPast(s state) {
	m.past[m.next] = s
	m.next = (m.next + 1) % len(m.past)
}

// shrink brings the memo within its limit, the newest slot excepted. mu must be held.
func (m *memo) shrink() {
	for passed := 0; m.bytes > m.limit && m.order.Len() > 1; {
		front := m.order.Front()
		if s := front.Value.(*slot); passed < m.order.Len() && s.used.Swap(false) {
			m.order.MoveToBack(front)
			passed++
			continue
		}
		m.drop(front)
	}
}

// tidy forgets what is not in a view any more, if that could be most of what is remembered: nobody tells the memo of deletions.
func (m *memo) tidy(view cache.View) {
	m.mu.RLock()
	needed := len(m.slots) > 2*view.Len()+pastStates
	m.mu.RUnlock()
	if !needed {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for element := m.order.Front(); element != nil; {
		next := element.Next()
		if view.Get(element.Value.(*slot).entry.Key()) == nil {
			m.drop(element)
		}
		element = next
	}
	m.past = [pastStates]state{}
}

func cost(e *cache.Entry) int64 { return e.Size() + objectBytes }
