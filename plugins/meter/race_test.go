//go:build race

package meter_test

// raced says that the race detector is on, which makes everything some ten times slower, and has little to find here.
const raced = true
