// Package sqlite is the default store: the contract of package storage in one SQLite file.
//
// # Layout
//
// Three tables, so that every value is written once and no read walks over the past:
//
//	current   key → revision, expires        what exists now; narrow, ordered by key
//	versions  revision → created, value, …   each state a key has or had, appended once, never changed
//	history   revision → key, previous, …    one narrow row a commit; previous is the version this commit replaced
//
// A read of the present joins current to versions. A read at a past revision R takes the keys of current that have
// not changed since, and for every key that has, the previous of its first change after R; its cost is the number of
// changes since R, whatever the size of the values. A watch that resumes walks history and fetches the values of
// matching keys only. Compaction at C walks history from its oldest row to C and drops each row with the version it
// replaced: nothing else ever refers to that version.
//
// The revision is not stored: it is the newest row of history, or the compacted revision when history is empty.
//
// # Who does what
//
// One goroutine owns the writing connection. It takes all writes that are waiting, compares and applies them in one
// transaction, commits once (WAL, synchronous=FULL, so one fsync), tells the observers, feeds the watchers, and
// answers the writers. Compaction and vacuum are small jobs of the same goroutine, between groups. Readers have a
// bounded pool of their own connections, opened when first needed; a read never waits for the writer, nor the writer
// for a read. A further connection copies the WAL back into the database beside the writer, so that only a short rest
// is left for the moment in which the WAL starts afresh.
//
// The driver's connections and statements are used directly. database/sql would add a pool, which must not exist for
// the writer, and a goroutine for each cancellable query.
//
// # Failure
//
// SQLite's errors are told apart by code. A full disk fails the group that met it and leaves the store usable. An I/O
// error while committing, or damage, stops all further writes until a restart, because after a failed fsync nobody
// knows what the disk holds; Healthy says so, and reads go on. A file that cannot be a sound database of ours is
// refused by Open with a *DamagedError or a *FormatError.
//
// Open never reads the whole file: it looks at the header, the schema, and whether the newest commits agree in all
// three tables. SQLite leaves a WAL behind only when it was not closed; then the process or the machine died, the
// WAL's checksums have been verified by its recovery, and `PRAGMA quick_check` runs table by table in the background.
// What it finds is logged and shown by Healthy. Check runs the same, and the relations between the tables, on demand.
//
// A lock file beside the database keeps a second store, in this process or another, from opening it.
package sqlite
