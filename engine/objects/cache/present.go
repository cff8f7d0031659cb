package cache

import (
	"context"
	"fmt"
	"slices"
)

// Changed is the revision that last changed the collection as the view shows it: views of one collection that agree in it show the
// same entries.
func (v View) Changed() int64 { return v.snapshot.from }

// Since is the events after a revision, oldest first, up to what the view shows; they are shared and must not be changed. held is
// false when some of them have left the window.
func (v View) Since(revision int64) (events []*Event, held bool) {
	events, held = v.collection.eventsAfter(revision)
	beyond := func(e *Event) bool { return e.Revision > v.snapshot.from }
	if at := slices.IndexFunc(events, beyond); at >= 0 {
		events = events[:at]
	}
	return events, held
}

// Changed is what View(ctx).Changed() would be. It is for those who look often whether there is something new: it makes no
// snapshot, and allocates nothing.
func (c *Collection) Changed(ctx context.Context) (int64, error) {
	if err := c.lock(ctx); err != nil {
		return 0, fmt.Errorf("see what changed %s last: %w", c.resource.Prefix, err)
	}
	defer c.cache.mu.Unlock()
	return c.changed, nil
}

// Size is how many bytes the object has as the store keeps it.
func (e *Entry) Size() int64 { return int64(e.size) }

// FormAtHand is the Form of a version and an encoding, if it has been made already.
func (e *Entry) FormAtHand(v *Version, encoding Encoding) (form Form, found bool) {
	return e.formAtHand(v, encoding)
}
