module gatehouse/sdk/go

go 1.24
