package storage

// PrefixEnd is the End of the range that holds exactly the keys which start with prefix; "" (no bound) when every
// byte of prefix is 0xff.
func PrefixEnd(prefix string) string {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return string(end[:i+1])
		}
	}
	return ""
}
