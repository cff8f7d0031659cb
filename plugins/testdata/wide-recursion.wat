;; Runs for ages without one loop and with next to no stack: two calls, 90 levels.
(module
  (func (export "gatehouse_abi_v1"))
  (memory (export "memory") 2)
  (func (export "alloc") (param i32) (result i32)
    i32.const 65536)
  (func $double (param $depth i32) (result i64)
    (if (result i64) (i32.eqz (local.get $depth))
      (then (i64.const 1))
      (else (i64.add
        (call $double (i32.sub (local.get $depth) (i32.const 1)))
        (call $double (i32.sub (local.get $depth) (i32.const 1)))))))
  (func (export "admit") (param i32 i32) (result i64)
    (call $double (i32.const 90))))
