-- The order in which a project's deployments were accepted: created_at is not
-- one, where the host's clock is set back.

-- +goose Up

ALTER TABLE deployments ADD COLUMN serial BIGINT NOT NULL DEFAULT 0;

UPDATE deployments SET serial = numbered.serial
FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY project_id ORDER BY created_at, id) AS serial FROM deployments) AS numbered
WHERE numbered.id = deployments.id;

CREATE INDEX deployments_by_serial ON deployments (project_id, serial);
