package binary

import (
	"encoding/binary"
	"errors"
	"slices"
)

// OwnMemory makes a module that imports its memory bring one of the same size itself, exported under name; a module that imports
// none comes back as it is. Nothing else changes: the memory keeps its number, so that code and data need not be touched.
func OwnMemory(wasm []byte, name string) ([]byte, error) {
	m, err := Read(wasm)
	if err != nil {
		return nil, err
	}
	memory := slices.IndexFunc(m.Imports, func(i Import) bool { return i.Kind == Memory })
	if memory < 0 {
		return wasm, nil
	}
	own := append([]byte{1}, m.Imports[memory].Type...)
	imports := slices.Delete(slices.Clone(m.Imports), memory, memory+1)
	exports := m.Exports
	if !m.Exported(Memory, name) {
		exports = append(slices.Clone(exports), Export{Name: name, Kind: Memory})
	}
	out := append(make([]byte, 0, len(wasm)+64), magic...)
	for _, s := range m.Sections {
		if s.ID == MemorySection {
			return nil, errors.New("the module imports a memory and has one of its own: one is all it may have")
		}
		if own != nil && s.ID != CustomSection && order(s.ID) > order(MemorySection) {
			out = appendSection(out, MemorySection, own)
			own = nil
		}
		switch s.ID {
		case ImportSection:
			out = appendSection(out, ImportSection, appendImports(nil, imports))
		case ExportSection:
			out = appendSection(out, ExportSection, appendExports(nil, exports))
		default:
			out = appendSection(out, s.ID, s.Body)
		}
	}
	if own != nil {
		out = appendSection(out, MemorySection, own)
	}
	return out, nil
}

// SetCustom gives a module one custom section of a name, the last of all sections, in the place of those of that name that it has.
func SetCustom(wasm []byte, name string, content []byte) ([]byte, error) {
	m, err := Read(wasm)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(wasm)+len(name)+len(content)+16), magic...)
	for _, s := range m.Sections {
		if _, replaced := s.custom(name); !replaced {
			out = appendSection(out, s.ID, s.Body)
		}
	}
	return appendSection(out, CustomSection, append(appendName(nil, name), content...)), nil
}

// order is a section's place; the numbers of those that came late to the format do not tell.
func order(id SectionID) int {
	const tag, dataCount = 13, 12
	switch id {
	case tag:
		return 2*int(MemorySection) + 1
	case dataCount:
		return 2*9 + 1
	}
	return 2 * int(id)
}

func appendSection(out []byte, id SectionID, body []byte) []byte {
	return append(binary.AppendUvarint(append(out, byte(id)), uint64(len(body))), body...)
}

func appendName(out []byte, name string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(name))), name...)
}

func appendImports(out []byte, imports []Import) []byte {
	out = binary.AppendUvarint(out, uint64(len(imports)))
	for _, i := range imports {
		out = appendName(appendName(out, i.Module), i.Name)
		out = append(append(out, byte(i.Kind)), i.Type...)
	}
	return out
}

func appendExports(out []byte, exports []Export) []byte {
	out = binary.AppendUvarint(out, uint64(len(exports)))
	for _, e := range exports {
		out = append(appendName(out, e.Name), byte(e.Kind))
		out = binary.AppendUvarint(out, uint64(e.Index))
	}
	return out
}
