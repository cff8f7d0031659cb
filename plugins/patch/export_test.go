package patch

// The two ways, for tests that hold them against each other.
var (
	Direct  = direct
	General = general
)
