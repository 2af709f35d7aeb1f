-- +goose Up

-- Project names are unique in a team. SQLite cannot drop the constraint that made them
-- unique in the platform, so the constrained column holds the team and the name.
ALTER TABLE projects RENAME COLUMN name TO qualified_name;
ALTER TABLE projects ADD COLUMN name TEXT NOT NULL DEFAULT '';
UPDATE projects SET name = qualified_name, qualified_name = team_id || '/' || qualified_name;
