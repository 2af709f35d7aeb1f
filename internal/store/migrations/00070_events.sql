-- The events of the platform, written by the transactions of the changes. The row of
-- event_head is the serial of the latest event: each transaction with events updates
-- it, so serials have no gaps and follow the order of the commits.

-- +goose Up

CREATE TABLE event_head (
	id     INTEGER NOT NULL PRIMARY KEY, -- 1
	serial BIGINT NOT NULL
);
INSERT INTO event_head (id, serial) VALUES (1, 0);

CREATE TABLE events (
	serial        BIGINT NOT NULL PRIMARY KEY,
	type          TEXT NOT NULL,
	created_at    BIGINT NOT NULL,
	team_id       TEXT NOT NULL,
	project_id    TEXT NOT NULL,
	subject       TEXT NOT NULL,
	deployment_id TEXT NOT NULL,
	binding       TEXT NOT NULL -- JSON
);
CREATE INDEX events_by_age ON events (created_at);

-- The lease of the process that assembles a deployment. The process increments
-- lease_turn at intervals; a lease whose turn stays the same has expired.
ALTER TABLE deployments ADD COLUMN lease_owner TEXT NOT NULL DEFAULT '';
ALTER TABLE deployments ADD COLUMN lease_turn BIGINT NOT NULL DEFAULT 0;

DELETE FROM sweep_candidates WHERE kind = 'deployment'; -- events replace them
