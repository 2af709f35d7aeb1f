package observe_test

import (
	"path/filepath"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/observe"
)

// version1 is the content of a log database before entries had batches.
const version1 = `
PRAGMA auto_vacuum = INCREMENTAL; VACUUM;
CREATE TABLE entries (id INTEGER PRIMARY KEY, request TEXT NOT NULL, time INTEGER NOT NULL, project TEXT NOT NULL,
	deployment TEXT NOT NULL, target TEXT NOT NULL, branch TEXT NOT NULL, status INTEGER NOT NULL, kind TEXT NOT NULL,
	middleware INTEGER NOT NULL, path TEXT NOT NULL, levels INTEGER NOT NULL, lines INTEGER NOT NULL, bytes INTEGER NOT NULL,
	record TEXT) STRICT;
CREATE UNIQUE INDEX entries_by_request ON entries (request) WHERE request <> '';
CREATE INDEX entries_by_project ON entries (project, time);
CREATE TABLE lines (id INTEGER PRIMARY KEY, entry INTEGER NOT NULL, time INTEGER NOT NULL, level TEXT NOT NULL,
	source TEXT NOT NULL, function TEXT NOT NULL, instance TEXT NOT NULL, text TEXT NOT NULL, truncated INTEGER NOT NULL) STRICT;
CREATE INDEX lines_by_entry ON lines (entry);
INSERT INTO entries VALUES (1, 'old', 946684799000, 'prj_1', 'dpl_1', '', '', 200, 'static', 0, '/', 0, 1, 5, '{"requestId":"old","projectId":"prj_1"}');
INSERT INTO lines VALUES (1, 1, 946684799000, 'info', 'function', '', '', 'hello', 0);
PRAGMA user_version = 1;
`

func TestALogOfVersion1IsUpgraded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		execute(t, filepath.Join(dir, "logs.db"), version1)
		l, _ := start(t, observe.Options{Dir: dir})
		begin := l.Latest()
		l.Log(lateen.LogLine{Time: now(), Request: "new", Project: "prj_1", Text: "world"})
		l.Record(lateen.Record{ID: "new", Time: now(), Project: "prj_1"})
		settle()
		same(t, []string{"new world", "old hello"}, said(query(t, l, observe.Query{Project: "prj_1"})))
		same(t, []string{"new world"}, said(follow(t, l, observe.Query{Project: "prj_1", After: begin})()))
	})
}
