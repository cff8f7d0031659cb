package cache

import "sync"

// Batch is events that watchers are handed together. Those who want to see the same are handed the same Batch, and may share what
// they make of it. It is safe for concurrent use.
type Batch struct {
	events []*Event
	weight int64
	// watchers is how many were handed it.
	watchers int

	mu   sync.Mutex // guards made; held while something is made, so that it is made once
	made []made
}

// made is what has been made of a batch for a key.
type made struct {
	key, value any
	err        error
}

// Events are what happened, oldest first. They are shared and must not be changed.
func (b *Batch) Events() []*Event { return b.events }

// Watchers is how many watchers were handed the batch at the same time.
func (b *Batch) Watchers() int { return b.watchers }

// Weight is about how many bytes of objects the events are about.
func (b *Batch) Weight() int64 { return b.weight }

// Make is what make has made of the batch for whoever asked first with an equal key; others wait for it meanwhile. It is kept
// until the last watcher lets go of the batch, and nobody may change it.
func (b *Batch) Make(key any, make func() (any, error)) (any, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.made {
		if m.key == key {
			return m.value, m.err
		}
	}
	value, err := make()
	b.made = append(b.made, made{key: key, value: value, err: err})
	return value, err
}
