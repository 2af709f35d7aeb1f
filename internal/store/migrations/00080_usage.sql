-- +goose Up

-- The resources that instances held and used, by function and hour. Rows outlive the team, project
-- and deployment that they name, so no column refers to another table. Times and
-- processor times are nanoseconds, memory is byte-seconds.
CREATE TABLE usage_hours (
	project_id      TEXT NOT NULL,
	hour            BIGINT NOT NULL,
	deployment_id   TEXT NOT NULL,
	function        TEXT NOT NULL,
	team_id         TEXT NOT NULL,
	starting_time   BIGINT NOT NULL,
	starting_memory BIGINT NOT NULL,
	starting_cpu    BIGINT NOT NULL,
	busy_time       BIGINT NOT NULL,
	busy_memory     BIGINT NOT NULL,
	busy_cpu        BIGINT NOT NULL,
	idle_time       BIGINT NOT NULL,
	idle_memory     BIGINT NOT NULL,
	idle_cpu        BIGINT NOT NULL,
	frozen_time     BIGINT NOT NULL,
	frozen_memory   BIGINT NOT NULL,
	frozen_cpu      BIGINT NOT NULL,
	PRIMARY KEY (project_id, hour, deployment_id, function)
);
CREATE INDEX usage_hours_by_team ON usage_hours (team_id, hour);
CREATE INDEX usage_hours_by_age ON usage_hours (hour);

-- The last batch of each writer: a batch that is written again changes nothing.
CREATE TABLE usage_writers (
	id         TEXT NOT NULL PRIMARY KEY,
	serial     BIGINT NOT NULL,
	written_at BIGINT NOT NULL
);
CREATE INDEX usage_writers_by_age ON usage_writers (written_at);
