-- What may be of no use any more: a sweep looks at these, and at nothing that
-- this store never knew. kind is manifest or files, which name other content,
-- content, or deployment; noted_at is when it was let go, or made.

-- +goose Up

CREATE TABLE sweep_candidates (
	kind     TEXT NOT NULL,
	name     TEXT NOT NULL,
	noted_at BIGINT NOT NULL,
	PRIMARY KEY (kind, name)
);
