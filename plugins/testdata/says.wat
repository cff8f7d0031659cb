;; Answers every question of an authenticator or authorizer with its settings, word for word.
(module
  (memory (export "memory") 4)
  (global $length (mut i32) (i32.const 0))
  (func (export "gatehouse_abi_v1"))
  (func (export "alloc") (param $n i32) (result i32)
    i32.const 131072)
  ;; Settings move to 65536, out of the next payload's way.
  (func (export "configure") (param $ptr i32) (param $n i32) (result i64)
    (global.set $length (local.get $n))
    (memory.copy (i32.const 65536) (local.get $ptr) (local.get $n))
    i64.const 0)
  (func (export "authenticate") (export "authorize") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 65536) (i64.const 32)) (i64.extend_i32_u (global.get $length)))))
