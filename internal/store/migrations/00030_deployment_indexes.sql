-- Indexes for queries of all deployments: the unfinished ones, those in a state, and
-- those that refer to an artifact.

-- +goose Up

CREATE INDEX deployments_unfinished ON deployments (created_at, id) WHERE state IN ('QUEUED', 'BUILDING', 'DEPLOYING');
CREATE INDEX deployments_unsettled ON deployments (id) WHERE state = 'READY' AND aliased_at = 0;
CREATE INDEX deployments_by_team_state ON deployments (team_id, state, created_at, id);
CREATE INDEX deployments_by_project_state ON deployments (project_id, state, created_at, id);
CREATE INDEX deployments_by_branch ON deployments (project_id, branch, created_at, id);
CREATE INDEX deployments_by_target ON deployments (project_id, target, created_at, id);
CREATE INDEX deployment_meta_by_value ON deployment_meta (key, value, deployment_id);
