// Command opa is what the tests need of the command of that name: it compiles Rego to WebAssembly as `opa build -t wasm` does, and
// evaluates Rego as `opa eval` does, by OPA's own packages. It is a module of its own so that the server's go.mod stays lean, and
// leaves out the rest of the command, which is large.
//
//	opa build OUT.wasm POLICY.rego...
//	opa eval QUERY POLICY.rego...
//
// What is built has the rule, or the package, as its entrypoint whose annotation says so ("# METADATA", "# entrypoint: true").
// The input of an evaluation comes from stdin, and its result goes to stdout, both as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/compile"
	"github.com/open-policy-agent/opa/v1/rego"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: opa build OUT.wasm POLICY.rego...\n       opa eval QUERY POLICY.rego...")
		os.Exit(2)
	}
	do := map[string]func(ctx context.Context, what string, policies []string) error{"build": build, "eval": eval}[os.Args[1]]
	if do == nil {
		fmt.Fprintf(os.Stderr, "opa: unknown command %q\n", os.Args[1])
		os.Exit(2)
	}
	if err := do(context.Background(), os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// build writes the module that the compiler puts into its bundle.
func build(ctx context.Context, out string, policies []string) error {
	compiler := compile.New().
		WithRegoVersion(ast.RegoV1).
		WithTarget(compile.TargetWasm).
		WithRegoAnnotationEntrypoints(true).
		WithPaths(policies...)
	if err := compiler.Build(ctx); err != nil {
		return err
	}
	return os.WriteFile(out, compiler.Bundle().WasmModules[0].Raw, 0o600)
}

// eval prints the value of a query, or nothing where it has none.
func eval(ctx context.Context, query string, policies []string) error {
	var input any
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil {
		return fmt.Errorf("read the input: %w", err)
	}
	results, err := rego.New(rego.Query(query), rego.Load(policies, nil), rego.Input(input)).Eval(ctx)
	if err != nil || len(results) == 0 {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(results[0].Expressions[0].Value)
}
