;; Calls itself until its stack is full.
(module
  (func (export "gatehouse_abi_v1"))
  (memory (export "memory") 2)
  (func (export "alloc") (param i32) (result i32)
    i32.const 65536)
  (func $dig (param i64) (result i64)
    (i64.add (local.get 0) (call $dig (i64.add (local.get 0) (i64.const 1)))))
  (func (export "admit") (param i32 i32) (result i64)
    (call $dig (i64.const 0))))
