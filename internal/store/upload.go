package store

import (
	"context"
	"slices"

	"github.com/lateen-dev/lateen"
)

// Upload is content that a team has sent, with the SHA-1 of the client.
type Upload struct {
	Team      lateen.TeamID
	SHA1      lateen.SHA1
	Digest    lateen.Digest
	Size      int64 // bytes
	CreatedAt lateen.Millis
}

// PutUpload records content that a team has sent, and replaces an earlier record.
// Errors: [lateen.ErrTeamNotFound].
func (q *Queries) PutUpload(ctx context.Context, u Upload) error {
	return q.exec(ctx, meaning{dangling: lateen.ErrTeamNotFound},
		`INSERT INTO uploads (team_id, sha1, digest, size, created_at) VALUES (?, ?, ?, ?, ?)
		 ON CONFLICT (team_id, sha1) DO UPDATE SET digest = excluded.digest, size = excluded.size, created_at = excluded.created_at`,
		u.Team, u.SHA1, u.Digest, u.Size, u.CreatedAt)
}

// FindUploads returns the uploads of a team among names; missing ones are absent.
func (q *Queries) FindUploads(ctx context.Context, team lateen.TeamID, names []lateen.SHA1) (map[lateen.SHA1]lateen.Blob, error) {
	found := make(map[lateen.SHA1]lateen.Blob, len(names))
	for chunk := range slices.Chunk(names, maxParameters) {
		var w where
		w.and("team_id = ?", team)
		among(&w, "sha1", chunk)
		uploads, err := list(ctx, q, scanUpload, `SELECT sha1, digest, size FROM uploads`+w.String(), w.args...)
		if err != nil {
			return nil, err
		}
		for _, u := range uploads {
			found[u.SHA1] = lateen.Blob{Digest: u.Digest, Size: u.Size}
		}
	}
	return found, nil
}

// DeleteUploads removes the uploads before a time and returns their number. Their
// content becomes a candidate of the next sweep.
func (q *Queries) DeleteUploads(ctx context.Context, before lateen.Millis) (int, error) {
	var n int64
	err := q.write(ctx, func(q *Queries) (err error) {
		_, err = q.execAny(ctx, meaning{}, `INSERT INTO sweep_candidates (kind, name, noted_at)
			SELECT DISTINCT '`+SweepContent+`', digest, 0 FROM uploads WHERE created_at < ? ON CONFLICT DO NOTHING`, before)
		if err == nil {
			n, err = q.execAny(ctx, meaning{}, `DELETE FROM uploads WHERE created_at < ?`, before)
		}
		return err
	})
	return int(n), err
}

// ListUploadDigests returns the digests of all uploads.
func (q *Queries) ListUploadDigests(ctx context.Context) ([]lateen.Digest, error) {
	return list(ctx, q, scanText[lateen.Digest], `SELECT DISTINCT digest FROM uploads ORDER BY digest`)
}

// maxParameters is the maximum number of parameters of one statement.
const maxParameters = 1000

func scanUpload(r row) (Upload, error) {
	var u Upload
	err := r.Scan(&u.SHA1, &u.Digest, &u.Size)
	return u, err
}
