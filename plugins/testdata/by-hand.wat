;; An admission controller that is written by hand from sdk/SPEC.md alone: every Pod must say who owns it, and those that do are marked.
;; The sections in brackets are that page's.
(module
  (import "gatehouse" "field" (func $field (param i32 i32 i32 i32) (result i64))) ;; [5]
  (memory (export "memory") 2)

  (data (i32.const 16) "/request/uid")
  (data (i32.const 64) "/request/object/metadata/labels/owner")
  (data (i32.const 256) "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"response\":{\"uid\":\"")
  ;; The patch, in base64: [{"op":"add","path":"/metadata/labels/example.com~1checked-by","value":"by-hand"}]
  (data (i32.const 512) "\",\"allowed\":true,\"patchType\":\"JSONPatch\",\"patch\":\"W3sib3AiOiJhZGQiLCJwYXRoIjoiL21ldGFkYXRhL2xhYmVscy9leGFtcGxlLmNvbX4xY2hlY2tlZC1ieSIsInZhbHVlIjoiYnktaGFuZCJ9XQ==\"}}")
  (data (i32.const 1024) "\",\"allowed\":false,\"status\":{\"code\":403,\"reason\":\"Forbidden\",\"message\":\"a Pod must say who owns it: add the label owner\"}}}")

  ;; [1] The marker of the version.
  (func (export "gatehouse_abi_v1"))

  ;; [2] One buffer, which grows, from 65536 on. It is never looked at: field answers what matters.
  (func (export "alloc") (param $n i32) (result i32)
    (local $lacking i32)
    (if (i32.gt_u (local.get $n) (i32.const 0x7fff0000)) (then (return (i32.const 0))))
    (local.set $lacking
      (i32.sub (i32.add (local.get $n) (i32.const 65536)) (i32.mul (memory.size) (i32.const 65536))))
    (if (i32.gt_s (local.get $lacking) (i32.const 0))
      (then
        (if (i32.eq (i32.const -1)
              (memory.grow (i32.div_u (i32.add (local.get $lacking) (i32.const 65535)) (i32.const 65536))))
          (then (return (i32.const 0))))))
    (i32.const 65536))

  ;; append copies n bytes to the end of the answer, which begins at 4096, and returns the new end.
  (func $append (param $end i32) (param $from i32) (param $n i32) (result i32)
    (memory.copy (local.get $end) (local.get $from) (local.get $n))
    (i32.add (local.get $end) (local.get $n)))

  ;; [4] The role: no payload is parsed.
  (func (export "admit") (param i32 i32) (result i64)
    (local $uid i64) (local $owner i64) (local $end i32) (local $i i32) (local $c i32)
    ;; The uid must be a string (kind 4) that fits its buffer at 2048, ...
    (local.set $uid (call $field (i32.const 16) (i32.const 12) (i32.const 2048) (i32.const 1024)))
    (if (i64.ne (i64.shr_u (local.get $uid) (i64.const 32)) (i64.const 4)) (then unreachable))
    (if (i32.gt_u (i32.wrap_i64 (local.get $uid)) (i32.const 1024)) (then unreachable))
    (local.set $end (call $append (i32.const 4096) (i32.const 256) (i32.const 80)))
    ;; ... and needs no escapes in JSON, but for quotes and backslashes.
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (i32.wrap_i64 (local.get $uid))))
        (local.set $c (i32.load8_u offset=2048 (local.get $i)))
        (if (i32.lt_u (local.get $c) (i32.const 0x20)) (then unreachable))
        (if (i32.or (i32.eq (local.get $c) (i32.const 0x22)) (i32.eq (local.get $c) (i32.const 0x5c)))
          (then
            (i32.store8 (local.get $end) (i32.const 0x5c))
            (local.set $end (i32.add (local.get $end) (i32.const 1)))))
        (i32.store8 (local.get $end) (local.get $c))
        (local.set $end (i32.add (local.get $end) (i32.const 1)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    ;; An owner is a string of at least one byte. Without a buffer field only tells its kind and length.
    (local.set $owner (call $field (i32.const 64) (i32.const 37) (i32.const 0) (i32.const 0)))
    (local.set $end
      (if (result i32)
          (i32.and (i64.eq (i64.shr_u (local.get $owner) (i64.const 32)) (i64.const 4))
            (i32.ne (i32.wrap_i64 (local.get $owner)) (i32.const 0)))
        (then (call $append (local.get $end) (i32.const 512) (i32.const 165)))
        (else (call $append (local.get $end) (i32.const 1024) (i32.const 122)))))
    (i64.or (i64.shl (i64.const 4096) (i64.const 32))
      (i64.extend_i32_u (i32.sub (local.get $end) (i32.const 4096))))))
