package read

import (
	"k8s.io/apimachinery/pkg/watch"

	"gatehouse/engine/objects/cache"
)

const (
	// leastSharers is how many watches make it worth while to keep the frames of their events until the last has sent them.
	leastSharers = 4
	// mostShared bounds the frames that are kept so, by the size of the objects in them.
	mostShared = 1 << 20
)

// frames is the encoded events of one batch, for all watches that see all of them in the same shape.
type frames struct {
	bytes []byte // nobody changes them
	sizes []float64
}

// sharedFrames is nil where each watch makes its own: few watch, a selector or a table shows each something else, or an object
// cannot be encoded, which the watch then finds out when it has sent those before it.
func (s *stream) sharedFrames(batch *cache.Batch) *frames {
	if !s.everything || s.table != nil || batch.Watchers() < leastSharers || batch.Weight() > mostShared {
		return nil
	}
	type key struct {
		shape    *shape
		encoding cache.Encoding
	}
	made, err := batch.Make(key{s.shape, s.encoding}, func() (any, error) { return s.makeFrames(batch) })
	if err != nil {
		return nil
	}
	return made.(*frames)
}

// typeOf is the watch's name of what an event did, to those who see all objects.
func typeOf(event *cache.Event) watch.EventType {
	switch event.Kind {
	case cache.Added:
		return watch.Added
	case cache.Modified:
		return watch.Modified
	default:
		return watch.Deleted
	}
}

func (s *stream) makeFrames(batch *cache.Batch) (*frames, error) {
	made := &frames{sizes: make([]float64, 0, len(batch.Events()))}
	for _, event := range batch.Events() {
		item, err := event.Entry.Form(s.shape.version, s.encoding)
		if err != nil {
			return nil, err
		}
		before := len(made.bytes)
		made.bytes = s.shape.item.appendFrame(made.bytes, string(typeOf(event)), item, s.encoding)
		made.sizes = append(made.sizes, float64(len(made.bytes)-before))
	}
	return made, nil
}
