package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
)

type teamRequest struct {
	Slug string `json:"slug"` // of a new team: 1 to 48 characters of a-z, 0-9 and -; immutable
	Name string `json:"name"` // display name; the slug if absent
}

func createTeam(a *API, r *http.Request, in *teamRequest) (*team, error) {
	return teamReply(a.Control.CreateTeam(r.Context(), in.Slug, in.Name))
}

func renameTeam(a *API, r *http.Request, in *teamRequest) (*team, error) {
	if in.Slug != "" {
		now, err := a.Control.Team(r.Context(), r.PathValue("team"))
		if err != nil {
			return nil, err
		}
		if now.Slug != in.Slug {
			return nil, lateen.ErrTeamSlugFixed
		}
	}
	return teamReply(a.Control.RenameTeam(r.Context(), in.Name))
}

func teamReply(m *control.Membership, err error) (*team, error) {
	if err != nil {
		return nil, err
	}
	t := teamOf(m)
	return &t, nil
}

type teamDeleted struct {
	ID lateen.TeamID `json:"id"`
}

func deleteTeam(a *API, r *http.Request, _ *none) (*teamDeleted, error) {
	t, err := a.Control.DeleteTeam(r.Context())
	if err != nil {
		return nil, err
	}
	return &teamDeleted{ID: t.ID}, nil
}

type membersReply struct {
	Members    []member           `json:"members"`
	Invites    []memberInvitation `json:"emailInviteCodes"` // valid ones
	Pagination pagination         `json:"pagination"`
}

type member struct {
	UID       lateen.UserID `json:"uid"`
	Username  string        `json:"username"`
	Email     string        `json:"email"`
	Name      string        `json:"name,omitempty"`
	Role      lateen.Role   `json:"role"`
	Confirmed bool          `json:"confirmed"` // always true: a user becomes a member by accepting the invitation
	CreatedAt lateen.Millis `json:"createdAt"` // of the user
}

func memberOf(m *control.TeamMember) member {
	return member{UID: m.ID, Username: m.Username, Email: m.Email, Name: m.Name, Role: m.Role, Confirmed: true, CreatedAt: m.CreatedAt}
}

type memberInvitation struct {
	ID        lateen.InvitationID `json:"id"`
	Email     string              `json:"email"`
	Role      lateen.Role         `json:"role"`
	CreatedAt lateen.Millis       `json:"createdAt"`
	ExpiresAt lateen.Millis       `json:"expiresAt"`
}

func invitationOf(i *lateen.Invitation) memberInvitation {
	return memberInvitation{ID: i.ID, Email: i.Email, Role: i.Role, CreatedAt: i.CreatedAt, ExpiresAt: i.ExpiresAt}
}

func listMembers(a *API, r *http.Request, _ *none) (*membersReply, error) {
	members, invitations, err := a.Control.Members(r.Context())
	if err != nil {
		return nil, err
	}
	reply := &membersReply{Members: []member{}, Invites: []memberInvitation{}, Pagination: pagination{Count: len(members)}}
	for i := range members {
		reply.Members = append(reply.Members, memberOf(&members[i]))
	}
	for _, i := range invitations {
		reply.Invites = append(reply.Invites, invitationOf(i))
	}
	return reply, nil
}

type inviteRequest struct {
	Email string      `json:"email"`
	Role  lateen.Role `json:"role"` // DEVELOPER if absent
}

// inviteReply is an invitation with its secret, which is shown only once.
type inviteReply struct {
	memberInvitation

	Invitation string `json:"invitation"` // for POST /v1/invitations/accept, or for `lateen login --invite`
}

// invite writes its reply itself: the vercel CLI shows the command for the invited
// person from a header.
func invite(a *API, w http.ResponseWriter, r *http.Request) error {
	var in inviteRequest
	if err := readJSON(r, &in); err != nil {
		return err
	}
	role := lateen.Developer
	if in.Role != "" {
		var err error
		if role, err = lateen.ParseRole(string(in.Role)); err != nil {
			return err
		}
	}
	release, err := admitCall(r, a.calls)
	if err != nil {
		return err
	}
	defer release()
	secret, i, err := a.Control.Invite(r.Context(), in.Email, role)
	if err != nil {
		return err
	}
	if strings.HasPrefix(r.UserAgent(), "vercel ") {
		w.Header().Set("X-Vercel-Notice-Invitation", fmt.Sprintf("No mail is sent. The invited person runs: lateen login %s --invite %s", a.Control.SiteURL("api."+a.Control.Domain), secret))
	}
	writeJSON(w, http.StatusOK, inviteReply{memberInvitation: invitationOf(i), Invitation: secret})
	return nil
}

type roleRequest struct {
	Role lateen.Role `json:"role"` // OWNER, DEVELOPER or VIEWER
}

func changeRole(a *API, r *http.Request, in *roleRequest) (*member, error) {
	return memberReply(a.Control.ChangeRole(r.Context(), r.PathValue("member"), lateen.Role(strings.ToUpper(string(in.Role)))))
}

func removeMember(a *API, r *http.Request, _ *none) (*member, error) {
	return memberReply(a.Control.RemoveMember(r.Context(), r.PathValue("member")))
}

func memberReply(m *control.TeamMember, err error) (*member, error) {
	if err != nil {
		return nil, err
	}
	out := memberOf(m)
	return &out, nil
}

type invitationRevoked struct {
	ID string `json:"id"`
}

func revokeInvitation(a *API, r *http.Request, _ *none) (*invitationRevoked, error) {
	id := r.PathValue("invitation")
	return &invitationRevoked{ID: id}, a.Control.RevokeInvitation(r.Context(), lateen.InvitationID(id))
}

type acceptRequest struct {
	Invitation string `json:"invitation"` // the secret
	Username   string `json:"username"`   // of the new user; derived from the e-mail address if absent
	TokenName  string `json:"tokenName"`  // invitation if absent
}

// acceptReply is a new user with a token, which is shown only once.
type acceptReply struct {
	User        lateen.User `json:"user"`
	Team        team        `json:"team"`
	BearerToken string      `json:"bearerToken"`
}

func acceptInvitation(a *API, r *http.Request, in *acceptRequest) (*acceptReply, error) {
	secret, u, m, err := a.Control.SignUp(r.Context(), in.Invitation, in.Username, in.TokenName)
	if err != nil {
		return nil, a.refuseInvitation(r, err)
	}
	return &acceptReply{User: *u, Team: teamOf(m), BearerToken: secret}, nil
}

type joinRequest struct {
	Invitation string `json:"invitation"` // the secret
}

func joinTeam(a *API, r *http.Request, in *joinRequest) (*team, error) {
	t, err := teamReply(a.Control.Join(r.Context(), in.Invitation))
	if err != nil {
		return nil, a.refuseInvitation(r, err)
	}
	return t, nil
}

// refuseInvitation delays the replies to clients that guess invitations, as to those
// that guess tokens.
func (a *API) refuseInvitation(r *http.Request, err error) error {
	if lateen.CodeOf(err) == lateen.NotFound {
		return a.refuse(r, err)
	}
	return err
}
