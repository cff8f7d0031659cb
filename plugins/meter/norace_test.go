//go:build !race

package meter_test

// raced says that the race detector is on.
const raced = false
