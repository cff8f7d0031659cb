;; Offers no way to hand it a payload.
(module
  (func (export "gatehouse_abi_v1"))
  (memory (export "memory") 2)
  (func (export "admit") (param i32 i32) (result i64)
    i64.const 0))
