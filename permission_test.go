package lateen_test

import (
	"errors"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestAuthorizeRefusesTheUnknown(t *testing.T) {
	for _, tt := range []struct {
		role  lateen.Role
		scope lateen.Scope
		need  lateen.Permission
		want  error
	}{
		{lateen.Owner, lateen.ScopeFull, "", lateen.ErrScopeTooNarrow},
		{lateen.Owner, lateen.ScopeFull, "project:everything", lateen.ErrScopeTooNarrow},
		{lateen.Owner, lateen.ScopeFull, lateen.Anonymous, lateen.ErrScopeTooNarrow},
		{lateen.Owner, "", lateen.ProjectRead, lateen.ErrScopeTooNarrow},
		{lateen.Owner, "everything", lateen.ProjectRead, lateen.ErrScopeTooNarrow},
		{"", lateen.ScopeFull, lateen.ProjectRead, lateen.ErrRoleTooLow},
		{"KING", lateen.ScopeFull, lateen.ProjectRead, lateen.ErrRoleTooLow},
		{lateen.Viewer, lateen.ScopeFull, lateen.EnvSecret, lateen.ErrRoleTooLow},
		{lateen.Owner, lateen.ScopeReadOnly, lateen.EnvSecret, lateen.ErrScopeTooNarrow},
		{lateen.Owner, lateen.ScopeMetrics, lateen.Identity, lateen.ErrScopeTooNarrow},
		{lateen.Viewer, lateen.ScopeMetrics, lateen.MetricsRead, nil},
		{"", lateen.ScopeFull, lateen.Identity, nil},
	} {
		if err := lateen.Authorize(tt.role, tt.scope, tt.need); !errors.Is(err, tt.want) {
			t.Errorf("%q with the scope %q and %q: %v, want %v", tt.role, tt.scope, tt.need, err, tt.want)
		}
	}
}
