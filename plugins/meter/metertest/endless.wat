;; Functions that run for ever, or nearly, or until their stack is full, each in a way of its own.
(module
  (memory (export "memory") 1)
  (func $all (drop (memory.grow (i32.const 1023))))
  (table $table 1000000 funcref)
  (type $step (func (param i64) (result i64)))
  (elem (i32.const 0) $indirect)

  (func (export "loop") (loop $l (br $l)))

  ;; Each load waits for the one before and misses the caches: the slowest thing per unit of fuel.
  (func (export "chase") (local $at i32)
    (call $all)
    ;; a cycle over 64 MiB in steps that no prefetcher guesses
    (loop $fill
      (i32.store (local.get $at)
        (i32.and (i32.add (i32.mul (local.get $at) (i32.const 1103515245)) (i32.const 0x3039c40)) (i32.const 0x3ffffc0)))
      (br_if $fill (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 64))) (i32.const 0x4000000))))
    (local.set $at (i32.const 64))
    (loop $l
      (local.set $at (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load (local.get $at))))))))))
      (br $l)))

  ;; Two calls a level, 90 levels, no loop.
  (func $double (param $depth i32) (result i64)
    (if (result i64) (i32.eqz (local.get $depth))
      (then (i64.const 1))
      (else (i64.add
        (call $double (i32.sub (local.get $depth) (i32.const 1)))
        (call $double (i32.sub (local.get $depth) (i32.const 1)))))))
  (func (export "wide_recursion") (drop (call $double (i32.const 90))))

  ;; Calls itself until the stack is full.
  (func $dig (param $n i64) (result i64)
    (i64.add (local.get $n) (call $dig (i64.add (local.get $n) (i64.const 1)))))
  (func (export "deep_recursion") (drop (call $dig (i64.const 0))))

  (func $indirect (param $n i64) (result i64)
    (i64.add (local.get $n) (call_indirect (type $step) (i64.add (local.get $n) (i64.const 1)) (i32.const 0))))
  (func (export "deep_indirect") (drop (call $indirect (i64.const 0))))

  (func (export "fill") (call $all) (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x4000000)) (br $l)))
  (func (export "copy") (call $all) (loop $l (memory.copy (i32.const 1) (i32.const 0) (i32.const 0x3ffffff)) (br $l)))
  (func (export "table_fill") (loop $l (table.fill $table (i32.const 0) (ref.null func) (i32.const 1000000)) (br $l)))
  (func (export "memory_grow") (loop $l (drop (memory.grow (i32.const 1))) (br $l)))
  (func (export "division") (local $x i64)
    (local.set $x (i64.const 0x7fffffffffffffff))
    (loop $l (local.set $x (i64.add (i64.div_u (local.get $x) (i64.const 3)) (i64.const 0x7000000000000000))) (br $l)))

  ;; A loop that takes and gives values, which compilers do not write.
  (func (export "loop_with_parameters") (local $sum i64) (local $count i32)
    (i64.const 1) (i32.const 2)
    (loop $l (param i64 i32)
      (local.set $count)
      (local.set $sum (i64.add (local.get $sum)))
      (br $l (local.get $sum) (i32.add (local.get $count) (i32.const 1)))))

  ;; Loops in loops, left by branches over several blocks.
  (func (export "nested")
    (loop $outer
      (block $a
        (loop $inner
          (block $b
            (br_table $a $b $inner $outer (i32.const 3)))
          (br $outer)))
      (br $outer)))

  ;; Each frame is large, for a value stands on the operand stack across each call.
  (func $wide_frame (param $n i64) (result i64)
    (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
    (local.set 1 (i64.add (local.get $n) (i64.const 1))) (local.set 2 (i64.mul (local.get 1) (i64.const 3)))
    (local.set 3 (i64.add (local.get 2) (local.get 1))) (local.set 4 (i64.mul (local.get 3) (local.get 2)))
    (local.set 5 (i64.add (local.get 4) (local.get 3))) (local.set 6 (i64.mul (local.get 5) (local.get 4)))
    (local.set 7 (i64.add (local.get 6) (local.get 5))) (local.set 8 (i64.mul (local.get 7) (local.get 6)))
    (i64.add (call $wide_frame (local.get 1))
      (i64.add (call $wide_frame (local.get 2))
        (i64.add (local.get 3) (i64.add (local.get 4) (i64.add (local.get 5)
          (i64.add (local.get 6) (i64.add (local.get 7) (local.get 8)))))))))
  (func (export "wide_frames") (drop (call $wide_frame (i64.const 0))))
)
