;; Says why on stderr, as a language's runtime does, and traps.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (func (export "gatehouse_abi_v1"))
  (memory (export "memory") 2)
  (data (i32.const 64) "panic: index out of range\0a\0agoroutine 1 [running]:\0a")
  (data (i32.const 16) "\40\00\00\00\32\00\00\00")
  (func (export "alloc") (param i32) (result i32)
    i32.const 65536)
  (func (export "admit") (param i32 i32) (result i64)
    (drop (call $fd_write (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 32)))
    unreachable))
