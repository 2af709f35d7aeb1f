-- +goose Up

-- The usage of processes that are no instances: of templates and their standbys, and, in
-- rows without a project and a team, of the blank processes and zygotes of the platform.
ALTER TABLE usage_hours ADD COLUMN standby_time BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN standby_memory BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN standby_cpu BIGINT NOT NULL DEFAULT 0;
