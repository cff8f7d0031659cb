;; Allows everything, with a warning that tells one build of this guest from another (tests replace "build-a").
(module
  (import "gatehouse" "field" (func $field (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 2)
  (data (i32.const 16) "/request/uid")
  (data (i32.const 64) "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"response\":{\"allowed\":true,\"warnings\":[\"build-a\"],\"uid\":\"000000000000000000000000000000000000\"}}")
  (func (export "gatehouse_abi_v1"))
  (func (export "alloc") (param $n i32) (result i32)
    i32.const 65536)
  (func (export "admit") (param i32 i32) (result i64)
    ;; The 36 characters of the request's uid go over the zeros, 118 bytes into the answer.
    (drop (call $field (i32.const 16) (i32.const 12) (i32.const 182) (i32.const 36)))
    (i64.or (i64.shl (i64.const 64) (i64.const 32)) (i64.const 157))))
