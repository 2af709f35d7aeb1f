-- +goose Up

ALTER TABLE tokens ADD COLUMN scope TEXT NOT NULL DEFAULT 'full';
ALTER TABLE tokens ADD COLUMN project_id TEXT NOT NULL DEFAULT ''; -- '' is every project

CREATE TABLE invitations (
	id         TEXT NOT NULL PRIMARY KEY,
	team_id    TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
	email      TEXT NOT NULL,
	role       TEXT NOT NULL,
	hash       TEXT NOT NULL UNIQUE,
	creator_id TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL
);
CREATE INDEX invitations_by_team ON invitations (team_id, created_at, id);

-- Rows outlive the team, user, token and project that they name, so no column
-- refers to another table.
CREATE TABLE audit_events (
	id           TEXT NOT NULL PRIMARY KEY,
	team_id      TEXT NOT NULL,
	created_at   BIGINT NOT NULL,
	user_id      TEXT NOT NULL,
	username     TEXT NOT NULL,
	token_id     TEXT NOT NULL,
	token_name   TEXT NOT NULL,
	project_id   TEXT NOT NULL,
	project_name TEXT NOT NULL,
	action       TEXT NOT NULL,
	target       TEXT NOT NULL,
	client_ip    TEXT NOT NULL,
	request_id   TEXT NOT NULL
);
CREATE INDEX audit_events_by_team ON audit_events (team_id, created_at, id);
CREATE INDEX audit_events_by_project ON audit_events (project_id, created_at, id);
CREATE INDEX audit_events_by_age ON audit_events (created_at);
