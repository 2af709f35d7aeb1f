package control_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/control/controltest"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

// failures counts the log lines about deployments that could not be marked.
type failures struct {
	slog.Handler

	n    *atomic.Int64
	most func() // called at the hundredth line
}

func (f failures) Enabled(context.Context, slog.Level) bool { return true }

func (f failures) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "could not be marked") && f.n.Add(1) == 100 {
		f.most()
	}
	return ctx.Err()
}

// On a full disk neither the success nor the failure of a deployment can be written.
// The deployment is assembled once the disk has space, and does not use the
// processors continuously until then.
func TestADeploymentWhoseStateCannotBeWrittenIsTriedAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed atomic.Int64
		var stop atomic.Pointer[func()]
		log := slog.New(failures{slog.DiscardHandler, &failed, func() { go (*stop.Load())() }})
		p := controltest.New(t, func(o *control.Options) { o.Log = log })
		ctx := p.As(t, p.Token)
		d, err := p.Deploy(ctx, control.DeployRequest{Project: "shop", Files: inline("page"), Source: "cli"})
		if err != nil {
			t.Fatal(err)
		}
		db, err := sqlite.OpenFile(t.Context(), filepath.Join(p.Dir, "lateen.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Write.ExecContext(t.Context(), `CREATE TRIGGER full BEFORE UPDATE ON deployments BEGIN SELECT RAISE(ABORT, 'full'); END`); err != nil {
			t.Fatal(err)
		}
		end := p.Start(t)
		stop.Store(&end)
		time.Sleep(time.Minute) // synthetic time
		if n := failed.Load(); n == 0 || n > 30 {
			t.Fatalf("it was tried %d times in a minute, want some", n)
		}
		if _, err := db.Write.ExecContext(t.Context(), `DROP TRIGGER full`); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		now, err := p.Store.GetDeployment(ctx, d.ID)
		if err != nil || now.State != lateen.Ready {
			t.Error(errors.Join(err, errors.New("with free space it is "+string(now.State))))
		}
		end()
	})
}

// If the disk is full after a deployment became READY, its hosts are recorded as
// assigned once the disk has space, in the same run or in a later one that starts on
// the full disk: clients wait for it.
func TestTheHostsOfAReadyDeploymentAreRecordedOnceTheDiskHasSpace(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := controltest.New(t)
			ctx := p.As(t, p.Token)
			d, err := p.Deploy(ctx, control.DeployRequest{Project: "shop", Files: inline("page"), Source: "cli"})
			if err != nil {
				t.Fatal(err)
			}
			db, err := sqlite.OpenFile(t.Context(), filepath.Join(p.Dir, "lateen.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Write.ExecContext(t.Context(), `CREATE TRIGGER full BEFORE UPDATE ON deployments
				WHEN NEW.aliased_at <> OLD.aliased_at BEGIN SELECT RAISE(ABORT, 'full'); END`); err != nil {
				t.Fatal(err)
			}
			state := func() *lateen.Deployment {
				now, err := p.Store.GetDeployment(ctx, d.ID)
				if err != nil {
					t.Fatal(err)
				}
				return now
			}
			end := p.Start(t)
			time.Sleep(time.Hour) // synthetic time
			if restarts {
				end()
				end = p.Start(t)
				time.Sleep(time.Minute)
			}
			if now := state(); now.State != lateen.Ready || now.AliasedAt != 0 {
				t.Fatalf("on the full disk it is %s with hosts assigned at %d, want READY at 0", now.State, now.AliasedAt)
			}
			if _, err := db.Write.ExecContext(t.Context(), `DROP TRIGGER full`); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if state().AliasedAt == 0 {
				t.Error("with free space its hosts are not recorded as assigned")
			}
			end()
		})
	}
}
