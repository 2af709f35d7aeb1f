-- The order in which teams were made, of which the first is the platform's own,
-- and in which a user came into teams: created_at is not one, where the host's
-- clock is set back.

-- +goose Up

ALTER TABLE teams ADD COLUMN serial BIGINT NOT NULL DEFAULT 0;

UPDATE teams SET serial = numbered.serial
FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY created_at, id) AS serial FROM teams) AS numbered
WHERE numbered.id = teams.id;

CREATE INDEX teams_by_serial ON teams (serial);

ALTER TABLE members ADD COLUMN serial BIGINT NOT NULL DEFAULT 0;

UPDATE members SET serial = teams.serial FROM teams WHERE teams.id = members.team_id;
