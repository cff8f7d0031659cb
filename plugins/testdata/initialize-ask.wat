;; Asks the host for the operation "echo" while it is initialised, and decides nothing.
(module
  (import "gatehouse" "host_call" (func $host_call (param i32 i32 i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 2)
  (data (i32.const 65000) "echo{}")
  (func (export "gatehouse_abi_v1"))
  (func (export "alloc") (param i32) (result i32)
    i32.const 65536)
  (func (export "admit") (param i32 i32) (result i64)
    i64.const 0)
  (func (export "_initialize")
    (drop (call $host_call (i32.const 65000) (i32.const 4) (i32.const 65004) (i32.const 2) (i32.const 0) (i32.const 16)))))
