package patch

import "strings"

// written is a place that the patch has changed. What stands there in the JSON that the general way works on may be more than the
// Go value shows: members that the type does not know, or a number written in another way.
type written struct {
	path string
	// opaque is set when a later operation must not look into it.
	opaque bool
	// there is set when the place holds a list or a map, which may be empty and is there all the same.
	there bool
}

// history is what a patch has changed so far.
type history []written

// allows reports whether an operation meets nothing that is opaque.
func (h history) allows(o *operation) bool {
	for _, w := range h {
		below := strings.HasPrefix(o.path, w.path+separator)
		appends := o.kind == add && o.path == w.path+separator+"-"
		switch {
		case below && w.opaque && !(appends && w.there):
			return false
		case o.kind == remove && o.path == w.path: // it may be gone already
			return false
		case o.kind == test && (below || o.path == w.path || strings.HasPrefix(w.path, o.path+separator)):
			return false
		}
	}
	return true
}

// there reports whether a list or a map at path has been made by the patch.
func (h history) there(path string) bool {
	for i := len(h) - 1; i >= 0; i-- {
		if h[i].path == path {
			return h[i].there
		}
	}
	return false
}

// note adds a place. What has been noted of it and below stays, which only makes the direct way more careful.
func (h *history) note(w written) {
	if !w.there {
		for i := range *h {
			if old := &(*h)[i]; old.path == w.path || strings.HasPrefix(old.path, w.path+separator) {
				old.there = false
			}
		}
	}
	*h = append(*h, w)
}
