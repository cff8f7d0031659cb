;; Leaves with an exit code.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (func (export "gatehouse_abi_v1"))
  (memory (export "memory") 2)
  (func (export "alloc") (param i32) (result i32)
    i32.const 65536)
  (func (export "admit") (param i32 i32) (result i64)
    (call $exit (i32.const 3))
    unreachable))
