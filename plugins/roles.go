package plugins

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"gatehouse/plugins/sandbox"
)

// roleSet is a set of roles, small enough to be looked at for every plugin and request.
type roleSet uint8

// roleBit is the set of one role.
func roleBit(role sandbox.Role) roleSet {
	switch role {
	case sandbox.Authenticate:
		return 1
	case sandbox.Authorize:
		return 2
	default:
		return 4
	}
}

func allRoles() []sandbox.Role {
	return []sandbox.Role{sandbox.Authenticate, sandbox.Authorize, sandbox.Admit}
}

func rolesOf(roles []sandbox.Role) roleSet {
	var set roleSet
	for _, role := range roles {
		set |= roleBit(role)
	}
	return set
}

func (s roleSet) has(other roleSet) bool { return s&other != 0 }

func (s roleSet) list() []sandbox.Role {
	var roles []sandbox.Role
	for _, role := range allRoles() {
		if s.has(roleBit(role)) {
			roles = append(roles, role)
		}
	}
	return roles
}

// rolesWithout are the roles in which a plugin fails that has not been loaded: those its manifest gives it, or else those its
// module exports, or else, for it may be anything, all.
func rolesWithout(m *manifest, wasm io.ReaderAt) roleSet {
	if len(m.Roles) > 0 {
		return rolesOf(m.Roles)
	}
	if exported, err := exportedRoles(wasm); err == nil && exported != 0 {
		return exported
	}
	return rolesOf(allRoles())
}

// peekRoles is rolesWithout for a module that nobody has read yet.
func peekRoles(m *manifest, dir, name string) roleSet {
	path := filepath.Join(dir, name+moduleSuffix)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return rolesWithout(m, bytes.NewReader(nil))
	}
	file, err := os.Open(path)
	if err != nil {
		return rolesWithout(m, bytes.NewReader(nil))
	}
	defer file.Close()
	return rolesWithout(m, file)
}

// exportedRoles reads which roles a module exports, and no more of it than that takes: the code comes after the exports.
func exportedRoles(wasm io.ReaderAt) (roleSet, error) {
	const exportSection = 7
	r := bufio.NewReader(io.NewSectionReader(wasm, 0, maxModule))
	var header [8]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, err
	}
	if !bytes.Equal(header[:], []byte("\x00asm\x01\x00\x00\x00")) {
		return 0, errors.New("no module")
	}
	for {
		id, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		size, err := binary.ReadUvarint(r)
		if err != nil {
			return 0, err
		}
		if size > maxModule {
			return 0, fmt.Errorf("a section of %d bytes", size)
		}
		if id == exportSection {
			return readExports(bufio.NewReader(io.LimitReader(r, int64(size))))
		}
		if _, err := r.Discard(int(size)); err != nil {
			return 0, err
		}
	}
}

// foreignExports are by what the policies of others can be told, which are all about admission.
func foreignExports() []string { return []string{"__guest_call", "_start", "opa_json_parse"} }

func readExports(r *bufio.Reader) (roleSet, error) {
	count, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, err
	}
	var set, foreign roleSet
	for range count {
		length, err := binary.ReadUvarint(r)
		if err != nil {
			return 0, err
		}
		name := make([]byte, min(length, 32)) // no role's name is longer
		if _, err := io.ReadFull(r, name); err != nil {
			return 0, err
		}
		if length > maxModule {
			return 0, fmt.Errorf("a name of %d bytes", length)
		}
		if _, err := r.Discard(int(length) - len(name)); err != nil {
			return 0, err
		}
		kind, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		if _, err := binary.ReadUvarint(r); err != nil { // the function's index
			return 0, err
		}
		switch role := sandbox.Role(name); {
		case kind == 0 && slices.Contains(allRoles(), role):
			set |= roleBit(role)
		case kind == 0 && slices.Contains(foreignExports(), string(name)):
			foreign = roleBit(sandbox.Admit)
		}
	}
	if set == 0 {
		return foreign, nil
	}
	return set, nil
}
