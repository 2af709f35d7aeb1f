package store

import (
	"context"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
)

// The kinds of a [Candidate].
const (
	SweepManifest = "manifest" // digest of a deployment's former manifest
	SweepFiles    = "files"    // digest of a deployment's former listing
	SweepContent  = "content"  // digest of stored or uploaded content
)

// Candidate is an object that may be unreferenced. A sweep removes only candidates:
// it does not touch artifacts unknown to the store.
type Candidate struct{ Kind, Name string }

// NoteCandidates adds candidates of a kind; existing candidates keep their time.
func (q *Queries) NoteCandidates(ctx context.Context, kind string, names []string, at lateen.Millis) error {
	return q.write(ctx, func(q *Queries) error {
		for chunk := range slices.Chunk(names, maxParameters/3) {
			args := make([]any, 0, 3*len(chunk))
			for _, name := range chunk {
				args = append(args, kind, name, at)
			}
			rows := strings.TrimSuffix(strings.Repeat("(?, ?, ?), ", len(chunk)), ", ")
			err := q.exec(ctx, meaning{}, `INSERT INTO sweep_candidates (kind, name, noted_at) VALUES `+rows+` ON CONFLICT DO NOTHING`, args...)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// NoteDeployment adds the artifacts that a deployment references, which is about to be
// deleted, to the candidates.
func (q *Queries) NoteDeployment(ctx context.Context, id lateen.DeploymentID, at lateen.Millis) error {
	return q.write(ctx, func(q *Queries) error {
		for _, of := range [][2]string{{SweepManifest, "manifest"}, {SweepFiles, "files"}} {
			_, err := q.execAny(ctx, meaning{}, `INSERT INTO sweep_candidates (kind, name, noted_at)
				SELECT '`+of[0]+`', `+of[1]+`, CAST(? AS BIGINT) FROM deployments WHERE id = ? AND `+of[1]+` <> ''
				ON CONFLICT DO NOTHING`, at, id)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ListCandidates returns the candidates of a kind ("": all kinds) that were added
// before a time, oldest first, at most limit.
func (q *Queries) ListCandidates(ctx context.Context, kind string, before lateen.Millis, limit int) ([]Candidate, error) {
	var w where
	equal(&w, "kind", kind)
	w.and("noted_at < ?", before)
	return list(ctx, q, scanCandidate,
		`SELECT kind, name FROM sweep_candidates`+w.String()+` ORDER BY noted_at, kind, name LIMIT ?`, append(w.args, limit)...)
}

// DeleteCandidates removes candidates that were examined.
func (q *Queries) DeleteCandidates(ctx context.Context, done []Candidate) error {
	return q.write(ctx, func(q *Queries) error {
		for _, c := range done {
			if _, err := q.execAny(ctx, meaning{}, `DELETE FROM sweep_candidates WHERE kind = ? AND name = ?`, c.Kind, c.Name); err != nil {
				return err
			}
		}
		return nil
	})
}

func scanCandidate(r row) (Candidate, error) {
	var c Candidate
	err := r.Scan(&c.Kind, &c.Name)
	return c, err
}
