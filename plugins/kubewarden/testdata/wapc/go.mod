module gatehouse/plugins/kubewarden/testdata/wapc

go 1.24
