package store

import (
	"context"

	"github.com/lateen-dev/lateen"
)

// AppendEvents records events and sets their serials. It belongs into the transaction
// of the changes that the events report.
func (q *Queries) AppendEvents(ctx context.Context, events []lateen.Event) error {
	if len(events) == 0 {
		return nil
	}
	return q.write(ctx, func(q *Queries) error {
		if _, err := q.execAny(ctx, meaning{}, `UPDATE event_head SET serial = serial + ? WHERE id = 1`, len(events)); err != nil {
			return err
		}
		last, err := q.LastEvent(ctx)
		if err != nil {
			return err
		}
		for i := range events {
			e := &events[i]
			e.Serial = last - int64(len(events)-1-i)
			if err := q.exec(ctx, meaning{},
				`INSERT INTO events (serial, type, created_at, team_id, project_id, subject, deployment_id, binding, invalidation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				e.Serial, e.Type, e.CreatedAt, e.Team, e.Project, e.Subject, e.Deployment, asJSON[lateen.Binding]{&e.Binding}, asJSON[lateen.Invalidation]{&e.Invalidation}); err != nil {
				return err
			}
		}
		return nil
	})
}

// LastEvent returns the serial of the latest event; 0 if there was none.
func (q *Queries) LastEvent(ctx context.Context) (int64, error) {
	return one(ctx, q, lateen.ErrInternal, scanSerial, `SELECT serial FROM event_head WHERE id = 1`)
}

// ListEvents returns at most limit events after a serial, in order.
func (q *Queries) ListEvents(ctx context.Context, after int64, limit int) ([]lateen.Event, error) {
	return list(ctx, q, scanEvent,
		`SELECT serial, type, created_at, team_id, project_id, subject, deployment_id, binding, invalidation FROM events
		WHERE serial > ? ORDER BY serial LIMIT ?`, after, limit)
}

// DeleteEvents removes at most limit events that are older than a time and not among
// the latest keep, and returns their number.
func (q *Queries) DeleteEvents(ctx context.Context, before lateen.Millis, keep int64, limit int) (int64, error) {
	return q.execAny(ctx, meaning{},
		`DELETE FROM events WHERE serial IN (SELECT serial FROM events
			WHERE created_at < ? AND serial <= (SELECT serial FROM event_head WHERE id = 1) - ? ORDER BY created_at LIMIT ?)`, before, keep, limit)
}

func scanEvent(r row) (lateen.Event, error) {
	var e lateen.Event
	err := r.Scan(&e.Serial, &e.Type, &e.CreatedAt, &e.Team, &e.Project, &e.Subject, &e.Deployment, asJSON[lateen.Binding]{&e.Binding}, asJSON[lateen.Invalidation]{&e.Invalidation})
	return e, err
}
