// Package meter rewrites a WebAssembly module so that its guests can be stopped and never hold the Go runtime up. It adds two
// counters. One is fuel: loop heads and function entries use it up by the weight of the instructions that ran, and call the
// host when a slice is gone; the host looks at the deadline, and Go may collect and schedule meanwhile. The other is the stack:
// each call takes an estimate of its frame and gives it back on return, so that a runaway recursion traps early.
//
// On the way it checks everything whose size or index the rewriting or the runtime's decoder relies on. Whether a module's
// instructions are typed rightly is left to the compiler: what is added leaves the operand stack as it was, so the output is
// valid when the input is, and computes the same.
//
// It knows no runtime but wazero and nothing of plugins; package sandbox uses it. engine/RATIONALE.md says why it exists under
// "Why is a guest's bytecode rewritten?".
package meter
