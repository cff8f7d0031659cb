// Package cli specifies what users type: the scripts in scripts/ drive the real kubectl and the built gatehouse, each on a
// server of its own. See commands_test.go for the commands they have besides testscript's.
package cli
