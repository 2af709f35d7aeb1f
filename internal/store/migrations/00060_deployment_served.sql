-- When the hosts of production were last pointed at a deployment. Of deployments
-- from before, those that were not staged are taken to have served.

-- +goose Up

ALTER TABLE deployments ADD COLUMN served_at BIGINT NOT NULL DEFAULT 0;

UPDATE deployments SET served_at = aliased_at
WHERE state = 'READY' AND target = 'production'
	AND (NOT skip_aliases OR id IN (SELECT production_id FROM projects WHERE production_id IS NOT NULL));
