;; Does not like its settings.
(module
  (func (export "gatehouse_abi_v1"))
  (memory (export "memory") 2)
  (data (i32.const 16) "the tea is cold")
  (func (export "alloc") (param i32) (result i32)
    i32.const 65536)
  (func (export "admit") (param i32 i32) (result i64)
    i64.const 0)
  (func (export "configure") (param i32 i32) (result i64)
    (i64.const 0x000000100000000f)))
