# A policy that wants what this host does not have.
package lookup

# METADATA
# entrypoint: true
deny contains address if some address in net.lookup_ip_addr("example.com")
