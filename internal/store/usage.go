package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/lateen-dev/lateen"
)

// UsageBatch is a batch of usage. Writer and Serial identify it: the serials of a
// writer increase.
type UsageBatch struct {
	Writer string
	Serial int64
	At     lateen.Millis // time of the write
	Rows   []lateen.UsageHour
}

// maxFunctionName is the maximum length of a function's name in usage_hours, in
// bytes. PostgreSQL refuses a row whose key exceeds 2,704 bytes; the conversion of
// invalid UTF-8 at most doubles the length.
const maxFunctionName = 1000

// AddUsage adds a batch to the stored hours. A batch that was added before changes
// nothing, so a caller that does not know the result of a call repeats it. Of the
// name of a function with more than 1,000 bytes, it stores the beginning and a hash.
func (q *Queries) AddUsage(ctx context.Context, b UsageBatch) error {
	return q.write(ctx, func(q *Queries) error {
		n, err := q.execAny(ctx, meaning{},
			`INSERT INTO usage_writers (id, serial, written_at) VALUES (?, ?, ?)
			 ON CONFLICT (id) DO UPDATE SET serial = excluded.serial, written_at = excluded.written_at
			 WHERE usage_writers.serial < excluded.serial`, b.Writer, b.Serial, b.At)
		if err != nil || n == 0 {
			return err
		}
		for i := range b.Rows {
			if err := q.addUsageHour(ctx, &b.Rows[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (q *Queries) addUsageHour(ctx context.Context, u *lateen.UsageHour) error {
	args := []any{u.Project, u.Hour, u.Deployment, shortened(u.Function), u.Team}
	for _, state := range u.States() {
		args = append(args, state.Time, state.Memory, state.CPU)
	}
	return q.exec(ctx, meaning{}, `INSERT INTO usage_hours (`+usageColumns+`) VALUES (`+placeholders(len(args))+`)
		ON CONFLICT (project_id, hour, deployment_id, function) DO UPDATE SET
			starting_time = usage_hours.starting_time + excluded.starting_time,
			starting_memory = usage_hours.starting_memory + excluded.starting_memory,
			starting_cpu = usage_hours.starting_cpu + excluded.starting_cpu,
			busy_time = usage_hours.busy_time + excluded.busy_time,
			busy_memory = usage_hours.busy_memory + excluded.busy_memory,
			busy_cpu = usage_hours.busy_cpu + excluded.busy_cpu,
			idle_time = usage_hours.idle_time + excluded.idle_time,
			idle_memory = usage_hours.idle_memory + excluded.idle_memory,
			idle_cpu = usage_hours.idle_cpu + excluded.idle_cpu,
			frozen_time = usage_hours.frozen_time + excluded.frozen_time,
			frozen_memory = usage_hours.frozen_memory + excluded.frozen_memory,
			frozen_cpu = usage_hours.frozen_cpu + excluded.frozen_cpu,
			failed_time = usage_hours.failed_time + excluded.failed_time,
			failed_memory = usage_hours.failed_memory + excluded.failed_memory,
			failed_cpu = usage_hours.failed_cpu + excluded.failed_cpu,
			standby_time = usage_hours.standby_time + excluded.standby_time,
			standby_memory = usage_hours.standby_memory + excluded.standby_memory,
			standby_cpu = usage_hours.standby_cpu + excluded.standby_cpu`, args...)
}

// shortened returns the name of a function as usage_hours stores it.
func shortened(function string) string {
	if len(function) <= maxFunctionName {
		return function
	}
	hash := sha256.Sum256([]byte(function))
	end := "…" + hex.EncodeToString(hash[:16])
	return function[:maxFunctionName-len(end)] + end
}

// usageColumns are the columns of usage_hours, in the order of scanUsageHour.
const usageColumns = `project_id, hour, deployment_id, function, team_id, starting_time, starting_memory, starting_cpu,
	busy_time, busy_memory, busy_cpu, idle_time, idle_memory, idle_cpu, frozen_time, frozen_memory, frozen_cpu,
	failed_time, failed_memory, failed_cpu, standby_time, standby_memory, standby_cpu`

// UsageFilter selects hours of usage; a zero field, except Team, selects all.
type UsageFilter struct {
	Team    lateen.TeamID // "" selects the usage of the platform itself, which has no team
	Project lateen.ProjectID
	Since   lateen.Millis // hours that begin at or after this time
	Until   lateen.Millis // hours that begin before this time
}

// ListUsage returns hours of usage by hour, project, deployment and function.
func (q *Queries) ListUsage(ctx context.Context, f UsageFilter) ([]lateen.UsageHour, error) {
	var w where
	w.and("team_id = ?", f.Team)
	equal(&w, "project_id", f.Project)
	if f.Since != 0 {
		w.and("hour >= ?", f.Since)
	}
	if f.Until != 0 {
		w.and("hour < ?", f.Until)
	}
	return list(ctx, q, scanUsageHour, `SELECT `+usageColumns+` FROM usage_hours`+w.String()+
		` ORDER BY hour, project_id, deployment_id, function`, w.args...)
}

// ExpireUsage removes the hours that begin before a time, the end of their
// retention, and the writers whose last batch is older. It returns the number of
// hours.
func (q *Queries) ExpireUsage(ctx context.Context, before lateen.Millis) (n int64, err error) {
	err = q.write(ctx, func(q *Queries) error {
		if n, err = q.execAny(ctx, meaning{}, `DELETE FROM usage_hours WHERE hour < ?`, before); err != nil {
			return err
		}
		_, err := q.execAny(ctx, meaning{}, `DELETE FROM usage_writers WHERE written_at < ?`, before)
		return err
	})
	return n, err
}

func scanUsageHour(r row) (lateen.UsageHour, error) {
	var u lateen.UsageHour
	fields := []any{&u.Project, &u.Hour, &u.Deployment, &u.Function, &u.Team}
	for _, state := range u.States() {
		fields = append(fields, &state.Time, &state.Memory, &state.CPU)
	}
	err := r.Scan(fields...)
	return u, err
}
