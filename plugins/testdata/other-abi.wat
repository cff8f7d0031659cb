;; Speaks a version of the ABI that does not exist yet.
(module
  (func (export "gatehouse_abi_v9"))
  (memory (export "memory") 2)
  (func (export "alloc") (param i32) (result i32)
    i32.const 65536)
  (func (export "admit") (param i32 i32) (result i64)
    i64.const 0))
