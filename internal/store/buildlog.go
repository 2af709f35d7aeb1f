package store

import (
	"context"

	"github.com/lateen-dev/lateen"
)

// AppendBuildLog adds lines to the build log of a deployment. It sets their deployment,
// and their serials in sequence after the last line. Errors: [lateen.ErrDeploymentNotFound].
func (q *Queries) AppendBuildLog(ctx context.Context, id lateen.DeploymentID, lines []lateen.BuildLogLine) error {
	return q.write(ctx, func(q *Queries) error {
		last, err := one(ctx, q, lateen.ErrDeploymentNotFound, scanSerial,
			`SELECT COALESCE(MAX(serial), 0) FROM deployment_events WHERE deployment_id = ?`, id)
		if err != nil {
			return err
		}
		for i := range lines {
			l := &lines[i]
			l.Deployment, l.Serial = id, last+int64(i)+1
			err := q.exec(ctx, meaning{dangling: lateen.ErrDeploymentNotFound},
				`INSERT INTO deployment_events (deployment_id, serial, type, created_at, text, level, info) VALUES (?, ?, ?, ?, ?, ?, ?)`,
				id, l.Serial, l.Type, l.CreatedAt, l.Text, l.Level, asJSON[map[string]string]{&l.Info})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ListBuildLog returns the lines of a build log after a serial, in order and at most
// limit (0: all).
func (q *Queries) ListBuildLog(ctx context.Context, id lateen.DeploymentID, afterSerial int64, limit int) ([]lateen.BuildLogLine, error) {
	query := `SELECT deployment_id, serial, type, created_at, text, level, info FROM deployment_events
		WHERE deployment_id = ? AND serial > ? ORDER BY serial`
	if limit <= 0 {
		return list(ctx, q, scanBuildLogLine, query, id, afterSerial)
	}
	return list(ctx, q, scanBuildLogLine, query+` LIMIT ?`, id, afterSerial, limit)
}

func scanSerial(r row) (int64, error) {
	var serial int64
	err := r.Scan(&serial)
	return serial, err
}

func scanBuildLogLine(r row) (lateen.BuildLogLine, error) {
	var l lateen.BuildLogLine
	err := r.Scan(&l.Deployment, &l.Serial, &l.Type, &l.CreatedAt, &l.Text, &l.Level, asJSON[map[string]string]{&l.Info})
	return l, err
}
