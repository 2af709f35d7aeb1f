-- +goose Up

-- The host to which requests for an alias are redirected; '' serves the deployment.
ALTER TABLE aliases ADD COLUMN redirect TEXT NOT NULL DEFAULT '';
