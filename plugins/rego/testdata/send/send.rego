# A policy that sends what it is told to, and says what came back.
package send

# METADATA
# entrypoint: true
deny contains msg if {
	response := http.send(input.request.object.send)
	msg := sprintf("%v %v %v %v", [response.status_code, object.get(response, "body", "nothing"), object.get(response, "error", {}), object.get(response, ["headers", "x-count"], [])])
}

# It is sent once, however often it is asked for.
deny contains "sent twice" if http.send(input.request.object.send) != http.send(input.request.object.send)
