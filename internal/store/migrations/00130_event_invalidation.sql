-- +goose Up

-- The content that a cache.invalidated event selects, as JSON.
ALTER TABLE events ADD COLUMN invalidation TEXT NOT NULL DEFAULT '{}';
