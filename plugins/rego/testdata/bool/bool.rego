# A policy that answers a whole package, in which allow may be undefined.
package decision

# METADATA
# entrypoint: true
allow if input.request.userInfo.username == "alice"

allow := false if input.request.userInfo.username == "bob"
