# A policy that takes longer than anybody waits, and one that takes more memory than it has, by what it is asked.
package endless

# METADATA
# entrypoint: true
deny contains "counted" if {
	input.request.operation == "CREATE"
	all := numbers.range(1, 3000)
	count([1 | some a in all; some b in all; some c in all; a == b; b == c; a != c]) > 0
}

deny contains "remembered" if {
	input.request.operation == "UPDATE"
	count(numbers.range(1, 100000000)) > 0
}
