package sqlite

import (
	"errors"
	"fmt"
)

const (
	// applicationID, "gths" in the file's header, marks a database as ours.
	applicationID = 0x67746873
	// schemaVersion is the header's user_version. Raise it with any change an older binary would misread.
	schemaVersion = 1
)

// schema is explained in the package documentation. Expires is in Unix milliseconds, 0 for never; deleted is 0 or 1;
// previous is 0 when the key did not exist before.
const schema = `
CREATE TABLE current (
	key TEXT NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, expires INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX current_by_expiry ON current (expires) WHERE expires > 0;
CREATE TABLE versions (
	revision INTEGER PRIMARY KEY, created INTEGER NOT NULL, expires INTEGER NOT NULL, value BLOB NOT NULL
) STRICT;
CREATE TABLE history (
	revision INTEGER PRIMARY KEY, key TEXT NOT NULL, previous INTEGER NOT NULL, deleted INTEGER NOT NULL
) STRICT;
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), compacted INTEGER NOT NULL) STRICT;
INSERT INTO state (id, compacted) VALUES (1, 0);
`

// selectPosition gives the revision and the compacted revision. A new store is at 1.
const selectPosition = `SELECT max(1, compacted, coalesce((SELECT max(revision) FROM history), 0)) AS position, compacted
	FROM state`

// prepareSchema makes a new database's tables, or makes sure that an existing database is ours and of our version.
func prepareSchema(c *conn, path string) error {
	header, err := c.integers(`SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id, pragma_user_version`)
	if err != nil {
		return err
	}
	id, version, tables := header[0], header[1], header[2]
	switch {
	case id == 0 && version == 0 && tables == 0:
		return createSchema(c)
	case id != applicationID:
		return &FormatError{Path: path, Problem: "belongs to another program: choose another data directory"}
	case version > schemaVersion:
		return &FormatError{Path: path, Problem: fmt.Sprintf("has format %d, and this version knows formats up to %d: "+
			"use the newer version that wrote it, or restore a backup made before the upgrade", version, schemaVersion)}
	}
	return nil
}

// createSchema leaves the file empty in SQLite's eyes until its one transaction is committed: a crash before that is
// a new start.
func createSchema(c *conn) error {
	// auto_vacuum must be chosen before the first page is written, and the journal mode outside a transaction.
	if err := c.exec("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL"); err != nil {
		return err
	}
	err := c.exec(fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
		schema, applicationID, schemaVersion))
	if err != nil {
		return errors.Join(err, c.rollback())
	}
	return nil
}
