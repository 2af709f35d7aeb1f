package store

import (
	"context"
	"slices"

	"github.com/lateen-dev/lateen"
)

// PutHoldings records content that a team has stored at a time, and returns the
// bytes of the content that is new to the team. Errors: [lateen.ErrTeamNotFound].
func (q *Queries) PutHoldings(ctx context.Context, team lateen.TeamID, blobs []lateen.Blob, at lateen.Millis) (added int64, err error) {
	err = q.write(ctx, func(q *Queries) error {
		added = 0
		for _, blob := range blobs {
			n, err := q.execAny(ctx, meaning{}, `UPDATE holdings SET created_at = ? WHERE team_id = ? AND digest = ?`, at, team, blob.Digest)
			if err != nil {
				return err
			}
			if n > 0 {
				continue
			}
			err = q.exec(ctx, meaning{dangling: lateen.ErrTeamNotFound},
				`INSERT INTO holdings (team_id, digest, size, created_at) VALUES (?, ?, ?, ?)
				 ON CONFLICT (team_id, digest) DO UPDATE SET created_at = excluded.created_at`, team, blob.Digest, blob.Size, at)
			if err != nil {
				return err
			}
			added += blob.Size
		}
		return nil
	})
	return added, err
}

// SumHoldings returns the bytes of content that a team has stored.
func (q *Queries) SumHoldings(ctx context.Context, team lateen.TeamID) (int64, error) {
	return one(ctx, q, lateen.ErrTeamNotFound, func(r row) (n int64, err error) { return n, r.Scan(&n) },
		`SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM holdings WHERE team_id = ?`, team)
}

// ListHoldings returns the digests of content that teams stored before a time.
func (q *Queries) ListHoldings(ctx context.Context, before lateen.Millis) ([]lateen.Digest, error) {
	return list(ctx, q, scanText[lateen.Digest], `SELECT DISTINCT digest FROM holdings WHERE created_at < ? ORDER BY digest`, before)
}

// DeleteHoldings removes the records of digests that teams stored before a time.
func (q *Queries) DeleteHoldings(ctx context.Context, digests []lateen.Digest, before lateen.Millis) error {
	for chunk := range slices.Chunk(digests, maxParameters-1) {
		var w where
		w.and("created_at < ?", before)
		among(&w, "digest", chunk)
		if _, err := q.execAny(ctx, meaning{}, `DELETE FROM holdings`+w.String(), w.args...); err != nil {
			return err
		}
	}
	return nil
}
