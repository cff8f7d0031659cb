module gatehouse/examples/guest-pass

go 1.24

require gatehouse/sdk/go v0.0.0

replace gatehouse/sdk/go => ../../sdk/go
