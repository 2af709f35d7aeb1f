-- Written once for SQLite and PostgreSQL. Times are Unix milliseconds, BYTEA is
-- any bytes (to SQLite a column of no particular type), JSON is text that the
-- database never looks into.

-- +goose Up

CREATE TABLE settings (
	key   TEXT NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
);

CREATE TABLE users (
	id         TEXT NOT NULL PRIMARY KEY,
	username   TEXT NOT NULL UNIQUE,
	email      TEXT NOT NULL,
	name       TEXT NOT NULL,
	created_at BIGINT NOT NULL
);

CREATE TABLE teams (
	id         TEXT NOT NULL PRIMARY KEY,
	slug       TEXT NOT NULL UNIQUE,
	name       TEXT NOT NULL,
	created_at BIGINT NOT NULL
);

CREATE TABLE members (
	team_id TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
	user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	role    TEXT NOT NULL,
	PRIMARY KEY (team_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id);

CREATE TABLE tokens (
	id         TEXT NOT NULL PRIMARY KEY,
	user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	name       TEXT NOT NULL,
	hash       TEXT NOT NULL UNIQUE,
	created_at BIGINT NOT NULL,
	active_at  BIGINT NOT NULL,
	expires_at BIGINT NOT NULL
);
CREATE INDEX tokens_by_user ON tokens (user_id);

CREATE TABLE projects (
	id            TEXT NOT NULL PRIMARY KEY,
	team_id       TEXT NOT NULL REFERENCES teams (id),
	name          TEXT NOT NULL UNIQUE,
	created_at    BIGINT NOT NULL,
	updated_at    BIGINT NOT NULL,
	settings      TEXT NOT NULL, -- JSON
	pinned        BOOLEAN NOT NULL,
	alias_request TEXT NOT NULL -- JSON
);
CREATE INDEX projects_by_team ON projects (team_id, created_at, id);

CREATE TABLE env_vars (
	id         TEXT NOT NULL PRIMARY KEY,
	project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
	key        TEXT NOT NULL,
	value      BYTEA NOT NULL, -- sealed
	type       TEXT NOT NULL,
	git_branch TEXT NOT NULL,
	comment    TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL
);
CREATE INDEX env_vars_by_project ON env_vars (project_id, key);

CREATE TABLE env_targets (
	env_id     TEXT NOT NULL REFERENCES env_vars (id) ON DELETE CASCADE,
	position   INTEGER NOT NULL, -- in the variable's list
	project_id TEXT NOT NULL,
	key        TEXT NOT NULL,
	target     TEXT NOT NULL,
	git_branch TEXT NOT NULL,
	PRIMARY KEY (env_id, position),
	UNIQUE (project_id, key, target, git_branch)
);

CREATE TABLE deployments (
	id           TEXT NOT NULL PRIMARY KEY,
	project_id   TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
	team_id      TEXT NOT NULL,
	name         TEXT NOT NULL,
	host         TEXT NOT NULL UNIQUE,
	target       TEXT NOT NULL,
	source       TEXT NOT NULL,
	creator_id   TEXT NOT NULL,
	state        TEXT NOT NULL,
	error_reason TEXT NOT NULL,
	error_text   TEXT NOT NULL,
	created_at   BIGINT NOT NULL,
	building_at  BIGINT NOT NULL,
	ready_at     BIGINT NOT NULL,
	aliased_at   BIGINT NOT NULL,
	meta         TEXT NOT NULL, -- JSON
	git          TEXT NOT NULL, -- JSON
	branch       TEXT NOT NULL,
	skip_aliases BOOLEAN NOT NULL,
	manifest     TEXT NOT NULL,
	files        TEXT NOT NULL,
	env          BYTEA -- sealed
);
CREATE INDEX deployments_by_project ON deployments (project_id, created_at, id);
CREATE INDEX deployments_by_team ON deployments (team_id, created_at, id);

-- A project and its deployments name each other: this side comes second.
ALTER TABLE projects ADD COLUMN production_id TEXT REFERENCES deployments (id) ON DELETE SET NULL;
CREATE INDEX projects_by_production ON projects (production_id);

CREATE TABLE deployment_meta (
	deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
	key           TEXT NOT NULL,
	value         TEXT NOT NULL,
	PRIMARY KEY (deployment_id, key)
);

CREATE TABLE deployment_events (
	deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
	serial        BIGINT NOT NULL,
	type          TEXT NOT NULL,
	created_at    BIGINT NOT NULL,
	text          TEXT NOT NULL,
	level         TEXT NOT NULL,
	info          TEXT NOT NULL, -- JSON
	PRIMARY KEY (deployment_id, serial)
);

CREATE TABLE aliases (
	id            TEXT NOT NULL PRIMARY KEY,
	host          TEXT NOT NULL UNIQUE,
	project_id    TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
	team_id       TEXT NOT NULL,
	deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
	automatic     BOOLEAN NOT NULL,
	creator_id    TEXT NOT NULL,
	created_at    BIGINT NOT NULL,
	updated_at    BIGINT NOT NULL
);
CREATE INDEX aliases_by_project ON aliases (project_id, created_at, id);
CREATE INDEX aliases_by_deployment ON aliases (deployment_id);
CREATE INDEX aliases_by_team ON aliases (team_id, created_at, id);

CREATE TABLE uploads (
	team_id    TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
	sha1       TEXT NOT NULL,
	digest     TEXT NOT NULL,
	size       BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	PRIMARY KEY (team_id, sha1)
);
CREATE INDEX uploads_by_age ON uploads (created_at);
