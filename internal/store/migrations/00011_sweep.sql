-- The candidates for removal: a sweep checks these only. kind is manifest or files,
-- which refer to other content, content, or deployment; noted_at is the time at which
-- it was created or its last reference was removed.

-- +goose Up

CREATE TABLE sweep_candidates (
	kind     TEXT NOT NULL,
	name     TEXT NOT NULL,
	noted_at BIGINT NOT NULL,
	PRIMARY KEY (kind, name)
);
