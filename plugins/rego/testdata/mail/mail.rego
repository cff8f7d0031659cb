# A policy that wants out.
package mail

# METADATA
# entrypoint: true
deny contains response.status if response := http.send({"method": "get", "url": "http://example.com"})
