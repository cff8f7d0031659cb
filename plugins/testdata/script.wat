;; Answers every review with its settings, word for word. A run of zeros in them ("00000000-0000-...") is overwritten by the
;; request's uid first, so that a test can script any answer from YAML.
(module
  (import "gatehouse" "field" (func $field (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 4)
  (data (i32.const 16) "/request/uid")
  (global $length (mut i32) (i32.const 0))
  (func (export "gatehouse_abi_v1"))
  (func (export "alloc") (param $n i32) (result i32)
    i32.const 131072)
  ;; Settings move to 65536, out of the next payload's way.
  (func (export "configure") (param $ptr i32) (param $n i32) (result i64)
    (global.set $length (local.get $n))
    (memory.copy (i32.const 65536) (local.get $ptr) (local.get $n))
    i64.const 0)
  (func (export "admit") (param i32 i32) (result i64)
    (local $at i32)
    (local.set $at (i32.const 65536))
    (block $absent
      (loop $search
        (br_if $absent (i32.ge_u (local.get $at) (i32.add (i32.const 65536) (global.get $length))))
        (if (i64.eq (i64.load align=1 (local.get $at)) (i64.const 0x3030303030303030))
          (then
            (drop (call $field (i32.const 16) (i32.const 12) (local.get $at) (i32.const 36)))
            (br $absent)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $search)))
    (i64.or (i64.shl (i64.const 65536) (i64.const 32)) (i64.extend_i32_u (global.get $length)))))
