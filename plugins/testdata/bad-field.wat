;; Asks for a field with a pointer beyond its memory.
(module
  (import "gatehouse" "field" (func $field (param i32 i32 i32 i32) (result i64)))
  (func (export "gatehouse_abi_v1"))
  (memory (export "memory") 2)
  (func (export "alloc") (param i32) (result i32)
    i32.const 65536)
  (func (export "admit") (param i32 i32) (result i64)
    (call $field (i32.const 0x7fff0000) (i32.const 16) (i32.const 0) (i32.const 0))))
