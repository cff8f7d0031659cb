;; Answers something that is no JSON.
(module
  (func (export "gatehouse_abi_v1"))
  (memory (export "memory") 2)
  (data (i32.const 16) "<html>502 Bad Gateway</html>")
  (func (export "alloc") (param i32) (result i32)
    i32.const 65536)
  (func (export "admit") (param i32 i32) (result i64)
    (i64.const 0x000000100000001c)))
