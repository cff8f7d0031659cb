package patch

import (
	"bytes"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

// Patch is a JSON patch that has been read. The zero value has no operations. Applying it does not change it.
type Patch struct {
	// text is what was read, when all of it is in plain form; else steps is what the library makes of it.
	text  []byte
	plain []operation
	steps jsonpatch.Patch
}

// Parse reads a patch. The result keeps text, which must not be changed any more.
//
// Patches as SDKs write them are read here: what the library makes of a patch of one label takes longer than applying it.
func Parse(text []byte) (Patch, error) {
	if plain, ok := parsePlain(text); ok {
		return Patch{text: text, plain: plain}, nil
	}
	steps, err := jsonpatch.DecodePatch(text)
	return Patch{steps: steps}, err
}

// Len is how many operations the patch has.
func (p Patch) Len() int { return max(len(p.plain), len(p.steps)) }

// operations are those of the patch; ok is false when the direct way does not know all of it.
func (p Patch) operations() (all []operation, ok bool) {
	switch {
	case len(p.plain) > maxOperations:
		return nil, false
	case p.text != nil:
		for i := range p.plain {
			if !p.plain[i].direct() {
				return nil, false
			}
		}
		return p.plain, true
	}
	return operations(p.steps)
}

// decoded is the patch as the general way takes it.
func (p Patch) decoded() (jsonpatch.Patch, error) {
	if p.text != nil {
		return jsonpatch.DecodePatch(p.text)
	}
	return p.steps, nil
}

// parsePlain reads a patch without white space whose operations have the members op, path and, unless they remove, value, in this
// order, and hold nothing that must be unescaped; ok is false for all others.
func parsePlain(text []byte) (all []operation, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte(`[`))
	for ok {
		var o operation
		if rest, ok = o.readPlain(rest); !ok {
			return nil, false
		}
		all = append(all, o)
		if string(rest) == "]" {
			return all, true
		}
		rest, ok = bytes.CutPrefix(rest, []byte(`,`))
	}
	return nil, false
}

// readPlain reads an operation in plain form off text and returns what is behind it.
func (o *operation) readPlain(text []byte) (rest []byte, ok bool) {
	for _, kind := range []string{add, replace, remove, test} {
		if rest, ok = cutMember(text, `{"op":"`, kind); ok {
			o.kind = kind
			break
		}
	}
	if !ok {
		return nil, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"path":`)); !ok {
		return nil, false
	}
	pointer, rest, ok := cutText(rest)
	if !ok || !o.locate(string(pointer)) {
		return nil, false
	}
	if o.kind != remove {
		if rest, ok = bytes.CutPrefix(rest, []byte(`,"value":`)); !ok {
			return nil, false
		}
		if o.value, rest, ok = cutValue(rest); !ok {
			return nil, false
		}
	}
	return bytes.CutPrefix(rest, []byte(`}`))
}

// cutMember takes a text that is known off text, with what comes before it and its last quote.
func cutMember(text []byte, before, known string) (rest []byte, ok bool) {
	if rest, ok = bytes.CutPrefix(text, []byte(before)); ok {
		if rest, ok = bytes.CutPrefix(rest, []byte(known)); ok {
			return bytes.CutPrefix(rest, []byte(`"`))
		}
	}
	return nil, false
}

// cutText takes a JSON string that holds itself off text.
func cutText(text []byte) (inner, rest []byte, ok bool) {
	if len(text) < 2 || text[0] != '"' {
		return nil, nil, false
	}
	end := bytes.IndexByte(text[1:], '"') + 1
	if end == 0 {
		return nil, nil, false
	}
	return text[1:end], text[end+1:], holdsItself(text[1:end])
}

// cutValue takes JSON off text: a string that holds itself, or something short.
func cutValue(text []byte) (value, rest []byte, ok bool) {
	if inner, rest, ok := cutText(text); ok {
		return text[:len(inner)+2], rest, true
	}
	for _, short := range []string{"true", "false", "{}", "[]"} {
		if bytes.HasPrefix(text, []byte(short)) {
			return text[:len(short):len(short)], text[len(short):], true
		}
	}
	return nil, nil, false
}
