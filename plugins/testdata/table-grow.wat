;; Grows a table until it cannot.
(module
  (func (export "gatehouse_abi_v1"))
  (memory (export "memory") 2)
  (table $t 1 funcref)
  (func (export "alloc") (param i32) (result i32)
    i32.const 65536)
  (func (export "admit") (param i32 i32) (result i64)
    (loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 65536)) (i32.const -1))))
    unreachable))
