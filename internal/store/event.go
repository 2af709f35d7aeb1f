package store

import (
	"context"

	"github.com/lateen-dev/lateen"
)

// AppendEvents adds events to a deployment and writes their deployment and
// serials into them, counting on from the last. Errors: [lateen.ErrDeploymentNotFound].
func (q *Queries) AppendEvents(ctx context.Context, id lateen.DeploymentID, events []lateen.DeploymentEvent) error {
	return q.write(ctx, func(q *Queries) error {
		last, err := one(ctx, q, lateen.ErrDeploymentNotFound, scanSerial,
			`SELECT COALESCE(MAX(serial), 0) FROM deployment_events WHERE deployment_id = ?`, id)
		if err != nil {
			return err
		}
		for i := range events {
			e := &events[i]
			e.Deployment, e.Serial = id, last+int64(i)+1
			err := q.exec(ctx, meaning{dangling: lateen.ErrDeploymentNotFound},
				`INSERT INTO deployment_events (deployment_id, serial, type, created_at, text, level, info) VALUES (?, ?, ?, ?, ?, ?, ?)`,
				id, e.Serial, e.Type, e.CreatedAt, e.Text, e.Level, asJSON[map[string]string]{&e.Info})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ListEvents returns the events of a deployment after a serial in order,
// limit of them (0: all).
func (q *Queries) ListEvents(ctx context.Context, id lateen.DeploymentID, afterSerial int64, limit int) ([]lateen.DeploymentEvent, error) {
	query := `SELECT deployment_id, serial, type, created_at, text, level, info FROM deployment_events
		WHERE deployment_id = ? AND serial > ? ORDER BY serial`
	if limit <= 0 {
		return list(ctx, q, scanEvent, query, id, afterSerial)
	}
	return list(ctx, q, scanEvent, query+` LIMIT ?`, id, afterSerial, limit)
}

func scanSerial(r row) (int64, error) {
	var serial int64
	err := r.Scan(&serial)
	return serial, err
}

func scanEvent(r row) (lateen.DeploymentEvent, error) {
	var e lateen.DeploymentEvent
	err := r.Scan(&e.Deployment, &e.Serial, &e.Type, &e.CreatedAt, &e.Text, &e.Level, asJSON[map[string]string]{&e.Info})
	return e, err
}
