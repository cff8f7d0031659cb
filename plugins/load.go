package plugins

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"gatehouse/plugins/field"
	"gatehouse/plugins/internal/binary"
	"gatehouse/plugins/meter"
	"gatehouse/plugins/sandbox"
)

const (
	moduleSuffix   = ".wasm"
	manifestSuffix = ".yaml"

	maxModule   = 64 << 20
	maxManifest = 1 << 20
	// maxPluginName leaves a plugin's name room in labels and annotation keys.
	maxPluginName = 63
	// compileTime bounds one load; the largest Go guests take some seconds.
	compileTime = 2 * time.Minute
)

// source is what a plugin's files held when they were read.
type source struct {
	wasm []byte
	// digest identifies the module's bytes and the way they are compiled, revision these and the manifest's.
	digest, revision string
	// manifest is the operator's, with the author's defaults where the module is vouched for and they can be read, and otherwise
	// without what the author could have said: see manifest.withoutAuthor.
	manifest *manifest
	// defaults are the author's; nil for none.
	defaults *defaults
	// roles are those in which the plugin fails as long as nothing serves.
	roles roleSet
}

// newPlugin gives the plugin called name a state from what can be told without compiling.
func newPlugin(o *Options, name string) *plugin {
	dir := o.Dir
	p := &plugin{name: name, born: bornAt(dir, name), configured: o.Configurations[name].Origin}
	m, _, err := readManifest(o, name)
	if err != nil && m == nil {
		m = unknownManifest() // the load will find the same, and say so
	}
	m = m.withoutAuthor()
	p.state.Store(&state{manifest: m, roles: peekRoles(m, dir, name), changed: time.Now(), loaded: make(chan struct{})})
	return p
}

// bornAt is when a plugin's module was put where it is, as far as its file tells.
func bornAt(dir, name string) time.Time {
	if info, err := os.Stat(filepath.Join(dir, name+moduleSuffix)); err == nil && info.ModTime().Before(time.Now()) {
		return info.ModTime()
	}
	return time.Now()
}

// load brings a plugin up to its files until they no longer change. It runs on a goroutine of its own, one per plugin.
func (s *Set) load(p *plugin) {
	for {
		select {
		case s.compiling <- struct{}{}:
			s.loadOnce(p)
			<-s.compiling
		case <-s.ctx.Done():
		}
		if !p.done() || s.ctx.Err() != nil {
			break
		}
	}
	s.announce()
	if !s.busy() {
		// Compiling takes many times the memory of what it makes, and an idle server would keep it for minutes.
		debug.FreeOSMemory()
	}
}

func (s *Set) loadOnce(p *plugin) {
	ctx, cancel := context.WithTimeoutCause(s.ctx, compileTime, fmt.Errorf("compiling took longer than %s", compileTime))
	defer cancel()
	if !p.begin(cancel) {
		return
	}
	old := p.state.Load()
	began := time.Now()
	src, err := readSource(&s.options, p.name)
	if err == nil && old.module != nil && src.revision == old.revision {
		if old.fault != nil { // a broken version has been taken back
			s.publish(p, old.with(nil, src.revision))
		}
		return
	}
	if err == nil && old.pending() {
		old = s.narrow(p, old, src)
	}
	var module *sandbox.Module
	if err == nil {
		module, err = s.compile(ctx, p.name, src)
	}
	if errors.Is(err, context.Canceled) {
		return // the file has gone, or the server is going
	}
	p.loaded(err)
	p.counts.load(err, time.Since(began))
	if err != nil {
		s.refuse(p, old, src, err)
		return
	}
	roles := rolesOf(module.Roles())
	if given := rolesOf(src.manifest.Roles); given != 0 {
		roles = given
	}
	wants := src.defaults.ungranted(src.manifest)
	if len(wants) > 0 {
		s.options.Logger.Info("plugin would like capabilities that its configuration does not grant", "plugin", p.name, "wants", wants)
	}
	now := time.Now()
	s.publish(p, &state{manifest: src.manifest, ungranted: wants, roles: roles, module: module, digest: src.digest, revision: src.revision, since: now,
		changed: now, newest: src.revision, nature: natureOf(src.wasm), conducts: &conducts{}})
	s.options.Logger.Info("plugin serves", "plugin", p.name, "revision", src.revision, "roles", roles.list(),
		"took", time.Since(began).Round(time.Millisecond).String())
}

// narrow has only those requests wait for the rest of the first load which concern the plugin, now that it has been read what does.
func (s *Set) narrow(p *plugin, old *state, src source) *state {
	next := *old
	next.manifest, next.roles, next.loaded = src.manifest, src.roles, make(chan struct{})
	p.publish(&next)
	s.reshuffle(nil)
	return &next
}

// refuse publishes that the newest files do not serve, and why.
func (s *Set) refuse(p *plugin, old *state, src source, err error) {
	log := s.options.Logger.With("plugin", p.name, "file", filepath.Join(s.options.Dir, p.name+moduleSuffix), "cause", err)
	if old.module != nil {
		log.Error("plugin's new version is broken, the old one serves on: repair the file", "revision", old.revision)
		s.publish(p, old.with(err, src.revision))
		return
	}
	m, roles := src.manifest, src.roles
	if m == nil {
		m = unknownManifest()
		roles = peekRoles(m, s.options.Dir, p.name)
	}
	if m.FailurePolicy == ignore {
		log.Error("plugin is broken and does not take part: repair or remove the file")
	} else {
		log.Error("plugin is broken, what concerns it is denied: repair or remove the file")
	}
	s.publish(p, &state{manifest: m, ungranted: src.defaults.ungranted(m), roles: roles, digest: src.digest, fault: err, changed: time.Now(), newest: src.revision,
		nature: natureOf(src.wasm)})
}

// publish shows a state to requests and lets what it replaces finish.
func (s *Set) publish(p *plugin, next *state) {
	retired := p.publish(next)
	s.reshuffle(nil)
	if retired != nil {
		s.retire(retired)
	}
	s.announce()
}

// retire closes a state's module once the requests it works on are done.
func (s *Set) retire(old *state) {
	s.background.Add(1)
	go func() {
		defer s.background.Done()
		old.module.Close()
		s.compiled.release(old.digest)
	}()
}

// compile makes a module that serves out of what was read.
func (s *Set) compile(ctx context.Context, name string, src source) (*sandbox.Module, error) {
	if s.options.Namespaces == nil && !src.manifest.Admission.selectors.namespaces.Empty() {
		return nil, errors.New("admission.namespaceSelector: there is nobody here who knows the labels of namespaces")
	}
	operations, err := s.operations(name, src.manifest)
	if err != nil {
		return nil, err
	}
	options := sandbox.Options{
		Limits:     src.manifest.limits().Or(s.options.Limits),
		Settings:   src.manifest.Settings,
		Logger:     s.options.Logger.With("plugin", name, "revision", src.revision),
		Operations: operations,
	}
	if len(src.manifest.Settings) > 0 {
		fields, err := field.Parse(src.manifest.Settings)
		if err != nil {
			return nil, fmt.Errorf("settings: %w", err)
		}
		options.SettingsFields = fields
	}
	if options.Protocol, err = s.protocolOf(src.wasm, src.manifest, operations); err != nil {
		return nil, err
	}
	options.CacheDir = s.compiled.hold(src.digest)
	module, err := sandbox.Load(ctx, src.wasm, options)
	if err != nil {
		s.compiled.release(src.digest)
		return nil, err
	}
	for _, role := range src.manifest.Roles {
		if !slices.Contains(module.Roles(), role) {
			module.Close()
			s.compiled.release(src.digest)
			return nil, fmt.Errorf("roles: it is given the role %s, but it plays %v", role, module.Roles())
		}
	}
	return module, nil
}

// operations are what the plugin called name reaches by host_call.
func (s *Set) operations(name string, m *manifest) (map[string]sandbox.Operation, error) {
	operations, err := s.options.Capabilities.Operations(name, m.Capabilities)
	if err != nil {
		return nil, fmt.Errorf("capabilities.%w", err)
	}
	maps.Copy(operations, s.options.Operations)
	return operations, nil
}

// readSource reads a plugin's files. The manifest is there even when the module cannot be read.
func readSource(o *Options, name string) (source, error) {
	m, raw, err := readManifest(o, name)
	if m == nil {
		return source{}, err
	}
	src := source{manifest: m.withoutAuthor(), roles: peekRoles(m, o.Dir, name)}
	if err != nil {
		return src, err
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 || len(name) > maxPluginName {
		return src, fmt.Errorf("the file's name is no plugin's name: rename it to at most %d lower case letters, digits, - and .",
			maxPluginName)
	}
	src.wasm, err = readFile(filepath.Join(o.Dir, name+moduleSuffix), maxModule)
	if origin := o.Configurations[name].Origin; errors.Is(err, fs.ErrNotExist) && origin != "" {
		return src, fmt.Errorf("%s%s is not in the plugin folder, but configured at %s: put it there, or remove its configuration",
			name, moduleSuffix, origin)
	}
	if err != nil {
		return src, err
	}
	src.roles = rolesWithout(m, bytes.NewReader(src.wasm))
	digest := sha256.Sum256(src.wasm)
	revision := sha256.New()
	revision.Write(digest[:])
	revision.Write(raw)
	compiled := sha256.Sum256(append(digest[:], meter.Version...))
	src.digest = hex.EncodeToString(compiled[:16])
	src.revision = hex.EncodeToString(revision.Sum(nil)[:6])
	if err := m.verify(o.Dir, name, src.wasm, o.PublicKeys); err != nil {
		return src, err
	}
	err = src.addDefaults(m, raw)
	return src, err
}

// addDefaults makes the manifest what the operator says, m, of which raw is the text, with what the module's author says. The module must
// have been vouched for: otherwise whoever smuggled it in could say which requests the broken plugin does not deny. After an error, and for
// what is no module, the manifest is as before.
func (src *source) addDefaults(m *manifest, raw []byte) error {
	d, err := readDefaults(src.wasm)
	if err != nil {
		return err
	}
	if d == nil {
		if _, err := binary.Read(src.wasm); err == nil {
			src.manifest = m
		}
		return nil
	}
	if m, err = d.under(raw); err != nil {
		return fmt.Errorf("its configuration does not go with the module's section %s: %w", d.section, err)
	}
	src.manifest, src.defaults, src.roles = m, d, rolesWithout(m, bytes.NewReader(src.wasm))
	return nil
}

// readManifest reads how a plugin is run, from the server's configuration or else name.yaml; without either it is one of defaults. raw is
// the text. An error says where it stands; if the plugin is configured in both places the manifest is the server's all the same.
func readManifest(o *Options, name string) (m *manifest, raw []byte, err error) {
	file := name + manifestSuffix
	raw, err = readFile(filepath.Join(o.Dir, file), maxManifest)
	there := !errors.Is(err, fs.ErrNotExist)
	if !there {
		_, unread := os.Lstat(filepath.Join(o.Dir, name+".yml"))
		if there, err = unread == nil, nil; there {
			err = fmt.Errorf("%s.yml would be overlooked: rename it to %s", name, file)
		}
	}
	place := file
	if own, configured := o.Configurations[name]; configured {
		raw, place = own.YAML, own.Origin+": plugins.configurations."+name
		if m, err = parseManifest(raw); err == nil && there {
			return m, raw, fmt.Errorf("it is configured twice, by %s in the plugin folder and at %s: keep one of them", file, own.Origin)
		}
	} else if err == nil {
		m, err = parseManifest(raw)
	} else {
		return nil, nil, err
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", place, err)
	}
	return m, raw, nil
}

// readFile reads a regular file of at most limit bytes. Its errors say no more of the path than the file's name.
func readFile(path string, limit int64) ([]byte, error) {
	name := filepath.Base(path)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", name, pathless(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", name, pathless(err))
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", name, pathless(err))
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, limit>>20)
	}
	return data, nil
}

// pathless takes the path out of an error that a client may get to see.
func pathless(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
