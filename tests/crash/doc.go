// Package crash kills the server with SIGKILL while clients write, again and again, and holds it to what it has acknowledged.
package crash
