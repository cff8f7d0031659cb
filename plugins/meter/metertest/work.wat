;; Work of several kinds for the benchmark; each function does n rounds of it.
(module
  (memory (export "memory") 64)

  ;; The tightest loop there is.
  (func (export "count") (param $n i64) (result i64) (local $sum i64)
    (loop $next
      (local.set $sum (i64.add (local.get $sum) (local.get $n)))
      (br_if $next (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
    (local.get $sum))

  ;; Looks at 1,000 bytes, as a parser does, and writes as many.
  (func (export "scan") (param $n i64) (result i64)
    (local $i i32) (local $hash i32) (local $zeros i32) (local $byte i32) (local $quotes i32)
    (loop $round
      (local.set $i (i32.const 0))
      (loop $next
        (local.set $byte (i32.load8_u offset=1024 (local.get $i)))
        (local.set $hash (i32.xor (i32.mul (local.get $hash) (i32.const 16777619)) (local.get $byte)))
        (if (i32.eq (local.get $byte) (i32.const 34)) (then (local.set $quotes (i32.add (local.get $quotes) (i32.const 1)))))
        (if (i32.eqz (local.get $byte)) (then (local.set $zeros (i32.add (local.get $zeros) (local.get $hash)))))
        (i32.store8 offset=65536 (local.get $i) (local.get $hash))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
      (br_if $round (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
    (i64.extend_i32_u (i32.add (local.get $zeros) (i32.add (local.get $quotes) (local.get $hash)))))

  ;; Loops of four turns each.
  (func (export "short") (param $n i64) (result i64) (local $i i32) (local $hash i32)
    (loop $round
      (local.set $i (i32.const 0))
      (loop $next
        (local.set $hash (i32.xor (i32.mul (local.get $hash) (i32.const 16777619)) (i32.load8_u offset=1024 (local.get $i))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4))))
      (br_if $round (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
    (i64.extend_i32_u (local.get $hash)))

  ;; Recursion with next to no work: fib(15), 1,973 calls.
  (func $fib (param $n i64) (result i64)
    (if (result i64) (i64.lt_s (local.get $n) (i64.const 2))
      (then (local.get $n))
      (else (i64.add
        (call $fib (i64.sub (local.get $n) (i64.const 1)))
        (call $fib (i64.sub (local.get $n) (i64.const 2)))))))
  (func (export "fib") (param $n i64) (result i64) (local $sum i64)
    (loop $next
      (local.set $sum (i64.add (local.get $sum) (call $fib (i64.const 15))))
      (br_if $next (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
    (local.get $sum))

  ;; A small function called from a loop.
  (func $mix (param $a i32) (param $b i32) (result i32)
    (i32.xor (i32.rotl (local.get $a) (i32.const 5)) (i32.mul (local.get $b) (i32.const 40503))))
  (func (export "calls") (param $n i64) (result i64) (local $hash i32)
    (loop $next
      (local.set $hash (call $mix (local.get $hash) (i32.wrap_i64 (local.get $n))))
      (br_if $next (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
    (i64.extend_i32_u (local.get $hash)))

  ;; Reads and writes all over 2 MiB.
  (func (export "memory_heavy") (param $n i64) (result i64) (local $at i32) (local $sum i64)
    (local.set $at (i32.const 12345))
    (loop $next
      (local.set $at (i32.and (i32.add (i32.mul (local.get $at) (i32.const 1664525)) (i32.const 1013904223)) (i32.const 0x1ffff8)))
      (local.set $sum (i64.add (local.get $sum) (i64.load offset=65536 (local.get $at))))
      (i64.store offset=65544 (local.get $at) (local.get $sum))
      (br_if $next (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
    (local.get $sum))

  ;; memory.copy and memory.fill of 64 bytes.
  (func (export "copy_64") (param $n i64) (result i64)
    (loop $next
      (memory.fill (i32.const 2048) (i32.wrap_i64 (local.get $n)) (i32.const 64))
      (memory.copy (i32.const 4096) (i32.const 2048) (i32.const 64))
      (br_if $next (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
    (i64.load (i32.const 4096)))

  ;; memory.copy of up to 64 bytes: how many is not known beforehand.
  (func (export "copy_short") (param $n i64) (result i64)
    (loop $next
      (i32.store (i32.const 2048) (i32.wrap_i64 (local.get $n)))
      (memory.copy (i32.const 4096) (i32.const 2048) (i32.and (i32.wrap_i64 (local.get $n)) (i32.const 63)))
      (br_if $next (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
    (i64.load (i32.const 4096)))

  ;; memory.copy of a mebibyte.
  (func (export "copy_1M") (param $n i64) (result i64)
    (loop $next
      (memory.copy (i32.const 2097152) (i32.const 65536) (i32.const 1048576))
      (br_if $next (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
    (i64.load (i32.const 2097152)))

  ;; What to do in one go, and what it may trap on, is up to the caller.
  (func (export "bulk_fill") (param $to i32) (param $value i32) (param $length i32)
    (memory.fill (local.get $to) (local.get $value) (local.get $length)))
  (func (export "bulk_copy") (param $to i32) (param $from i32) (param $length i32)
    (memory.copy (local.get $to) (local.get $from) (local.get $length)))
)
