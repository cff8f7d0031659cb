package sandbox

import (
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"gatehouse/plugins/meter"
)

// check says whether a compiled module keeps the ABI, and which roles it plays.
func check(code wazero.CompiledModule) ([]Role, error) {
	exports := code.ExportedFunctions()
	if err := checkMarker(exports); err != nil {
		return nil, err
	}
	if _, ok := code.ExportedMemories()[memoryExport]; !ok {
		return nil, faultf(Rejected, "does not export its memory as %q", memoryExport)
	}
	if err := checkFunction(exports, allocExport, allocSignature(), true); err != nil {
		return nil, err
	}
	if err := checkFunction(exports, configureExport, callSignature(), false); err != nil {
		return nil, err
	}
	if err := checkFunction(exports, initializeExport, signature{}, false); err != nil {
		return nil, err
	}
	if err := checkFunction(exports, byFieldExport, markerSignature(), false); err != nil {
		return nil, err
	}
	var roles []Role
	for _, role := range allRoles() {
		if err := checkFunction(exports, string(role), callSignature(), false); err != nil {
			return nil, err
		}
		if exports[string(role)] != nil {
			roles = append(roles, role)
		}
	}
	if len(roles) == 0 {
		return nil, faultf(Rejected, "plays no role: it exports none of authenticate, authorize, admit")
	}
	return roles, checkModules(code)
}

// checkMarker tells a module of another version of the ABI from one of no version at all.
func checkMarker(exports map[string]api.FunctionDefinition) error {
	if exports[markerExport] != nil {
		return checkFunction(exports, markerExport, markerSignature(), true)
	}
	var others []string
	for name := range exports {
		if strings.HasPrefix(name, markerPrefix) {
			others = append(others, name)
		}
	}
	if len(others) > 0 {
		slices.Sort(others)
		return faultf(Rejected, "speaks %s, this server speaks %s", strings.Join(others, ", "), markerExport)
	}
	return faultf(Rejected, "is no gatehouse plugin: it lacks the marker export %q", markerExport)
}

func checkFunction(exports map[string]api.FunctionDefinition, name string, want signature, required bool) error {
	f := exports[name]
	if f == nil {
		if required {
			return faultf(Rejected, "does not export the function %q %s", name, want)
		}
		return nil
	}
	if !want.equals(f) {
		return faultf(Rejected, "exports %q as %s, the ABI wants %s", name, signatureOf(f), want)
	}
	return nil
}

// checkModules names an import of a module that nobody provides; the runtime would find it too, but say less about what
// can be had.
func checkModules(code wazero.CompiledModule) error {
	for _, f := range code.ImportedFunctions() {
		module, name, _ := f.Import()
		if module != wasiModule && module != hostModule && module != meter.ImportModule {
			return faultf(Rejected, "imports the function %s.%s, only %s and %s are provided", module, name, hostModule, wasiModule)
		}
	}
	return nil
}

// checkMemories sees to it that no memory is shared, for instances live side by side in one runtime.
func checkMemories(code wazero.CompiledModule) error {
	for _, mem := range code.ImportedMemories() {
		module, name, _ := mem.Import()
		return faultf(Rejected, "imports the memory %s.%s, a plugin must bring its own", module, name)
	}
	return nil
}

// checkFunctions compares the functions a module imports with those that have been provided in runtime.
func checkFunctions(runtime wazero.Runtime, code wazero.CompiledModule) error {
	for _, f := range code.ImportedFunctions() {
		module, name, _ := f.Import()
		var provided api.FunctionDefinition
		if host := runtime.Module(module); host != nil {
			provided = host.ExportedFunctionDefinitions()[name]
		}
		if provided == nil {
			return faultf(Rejected, "imports the function %s.%s, which this server does not have", module, name)
		}
		want := signature{params: provided.ParamTypes(), results: provided.ResultTypes()}
		if !want.equals(f) {
			return faultf(Rejected, "imports %s.%s as %s, it is %s", module, name, signatureOf(f), want)
		}
	}
	return nil
}
