-- +goose Up

-- The time of starts that failed.
ALTER TABLE usage_hours ADD COLUMN failed_time BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN failed_memory BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN failed_cpu BIGINT NOT NULL DEFAULT 0;
