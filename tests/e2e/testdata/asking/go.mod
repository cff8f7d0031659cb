module gatehouse/tests/e2e/testdata/asking

go 1.24

require gatehouse/sdk/go v0.0.0

replace gatehouse/sdk/go => ../../../../sdk/go
