;; Answers every review with its settings, word for word. 36 zeros in them are overwritten by the request's uid first, so that
;; a test can script any answer from YAML.
(module
  (import "gatehouse" "field" (func $field (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 4)
  (data (i32.const 16) "/request/uid")
  (global $length (mut i32) (i32.const 0))
  ;; Where the zeros were; 0 when there were none.
  (global $uid (mut i32) (i32.const 0))
  (func (export "gatehouse_abi_v1"))
  (func (export "alloc") (param $n i32) (result i32)
    i32.const 131072)
  ;; Settings move to 65536, out of the next payload's way, and are searched for the zeros.
  (func (export "configure") (param $ptr i32) (param $n i32) (result i64)
    (local $at i32)
    (global.set $length (local.get $n))
    (memory.copy (i32.const 65536) (local.get $ptr) (local.get $n))
    (local.set $at (i32.const 65536))
    (block $found
      (loop $search
        (br_if $found (i32.ge_u (local.get $at) (i32.add (i32.const 65536) (local.get $n))))
        (if (i64.eq (i64.load align=1 (local.get $at)) (i64.const 0x3030303030303030))
          (then
            (global.set $uid (local.get $at))
            (br $found)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $search)))
    i64.const 0)
  (func (export "admit") (param i32 i32) (result i64)
    (if (global.get $uid)
      (then (drop (call $field (i32.const 16) (i32.const 12) (global.get $uid) (i32.const 36)))))
    (i64.or (i64.shl (i64.const 65536) (i64.const 32)) (i64.extend_i32_u (global.get $length)))))
