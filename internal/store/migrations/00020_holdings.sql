-- +goose Up

-- The content that a team has uploaded, each once, as long as a deployment or an
-- upload refers to it. It counts toward the storage limit of the team.
CREATE TABLE holdings (
	team_id    TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
	digest     TEXT NOT NULL,
	size       BIGINT NOT NULL,
	created_at BIGINT NOT NULL, -- when it was brought last
	PRIMARY KEY (team_id, digest)
);
INSERT INTO holdings (team_id, digest, size, created_at)
	SELECT team_id, digest, MAX(size), MAX(created_at) FROM uploads GROUP BY team_id, digest;
