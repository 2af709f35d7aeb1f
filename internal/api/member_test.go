package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
)

func TestTeamsAndMembers(t *testing.T) {
	w := newWorld(t)
	w.rows(t, []row{
		{"owner", "POST", "/teams", `{"slug":"acme","name":"Acme Inc."}`, 200, `{"slug":"acme","name":"Acme Inc.","membership":{"role":"OWNER"}}`},
		{"owner", "POST", "/teams", `{"slug":"acme"}`, 409, `{"error":{"code":"team_taken"}}`},
		{"owner", "POST", "/teams", `{"slug":"A B"}`, 400, `{"error":{"code":"team_invalid"}}`},
		{"owner", "GET", "/v2/teams", "", 200, `{"teams":[{"slug":"team"},{"slug":"acme"}]}`},
		{"owner", "PATCH", "/teams/acme", `{"name":"Acme Limited"}`, 200, `{"name":"Acme Limited"}`},
		{"owner", "PATCH", "/teams/acme", `{"slug":"other-slug","name":"x"}`, 400, `{"error":{"code":"team_slug_fixed"}}`},
		{"owner", "DELETE", "/v1/teams/team", "", 409, `{"error":{"code":"team_permanent"}}`},
		{"owner", "POST", "/v9/projects?slug=acme", `{"name":"acme-site"}`, 200, ``},
		{"owner", "DELETE", "/v1/teams/acme", "", 409, `{"error":{"code":"team_not_empty"}}`},
		{"owner", "DELETE", "/v9/projects/acme-site?slug=acme", "", 204, ``},
		{"owner", "DELETE", "/v1/teams/acme", "", 200, ``},
		{"owner", "GET", "/v2/teams/acme", "", 404, ``},

		{"viewer", "GET", "/v2/teams/team/members", "", 200, `{"members":[{"username":"owner","role":"OWNER"},{"username":"vic","role":"VIEWER"}],"emailInviteCodes":[]}`},
		{"nonmember", "GET", "/v2/teams/team/members", "", 404, `{"error":{"code":"team_not_found"}}`},
		{"nonmember", "POST", "/v2/teams/{team}/members", `{"email":"a@example.com"}`, 404, ``},
		{"owner", "PATCH", "/v1/teams/team/members/vic", `{"role":"developer"}`, 200, `{"role":"DEVELOPER"}`},
		{"owner", "PATCH", "/v1/teams/team/members/vic", `{"role":"king"}`, 400, `{"error":{"code":"role_invalid"}}`},
		{"owner", "PATCH", "/v1/teams/team/members/eve", `{"role":"OWNER"}`, 404, `{"error":{"code":"member_not_found"}}`},
		{"owner", "PATCH", "/v1/teams/team/members/owner", `{"role":"VIEWER"}`, 409, `{"error":{"code":"last_owner"}}`},
		{"owner", "DELETE", "/v2/teams/team/members/owner", "", 409, `{"error":{"code":"last_owner"}}`},
		{"viewer", "POST", "/v9/projects", `{"name":"of-vic"}`, 200, ``}, // the role applies from the next call on
		{"owner", "DELETE", "/v2/teams/team/members/vic", "", 200, `{"username":"vic"}`},
		{"viewer", "GET", "/v9/projects?teamId={team}", "", 404, `{"error":{"code":"team_not_found"}}`},
	})
}

// invite returns the secret of an invitation to a team.
func (w *world) invite(t *testing.T, body string) string {
	t.Helper()
	status, reply := w.ask(t, "owner", "POST", "/v2/teams/team/members", body)
	var invited struct {
		Invitation string `json:"invitation"`
	}
	if err := json.Unmarshal(reply, &invited); err != nil || status != http.StatusOK || invited.Invitation == "" {
		t.Fatalf("%d %s, %v", status, reply, err)
	}
	return invited.Invitation
}

func TestAnInvitationIsAcceptedOnce(t *testing.T) {
	w := newWorld(t)
	w.names["secret"] = w.invite(t, `{"email":"Bob.Smith@example.com","role":"viewer"}`)
	status, reply := w.ask(t, "anonymous", "POST", "/v1/invitations/accept", `{"invitation":"{secret}"}`)
	if err := w.check(reply, `{"user":{"username":"bob-smith","email":"Bob.Smith@example.com"},"team":{"slug":"team","membership":{"role":"VIEWER"}},"bearerToken":"…ltn_"}`); err != nil || status != http.StatusOK {
		t.Fatalf("%d %v", status, err)
	}
	var accepted struct {
		BearerToken string `json:"bearerToken"`
	}
	if err := json.Unmarshal(reply, &accepted); err != nil {
		t.Fatal(err)
	}
	w.tokens["bob"] = accepted.BearerToken
	w.names["second"] = w.invite(t, `{"email":"bob.smith@example.net"}`)
	w.names["third"] = w.invite(t, `{"email":"eve@example.com","role":"OWNER"}`)
	w.rows(t, []row{
		{"bob", "GET", "/v9/projects/shop", "", 200, `{"name":"shop"}`},
		{"bob", "DELETE", "/v9/projects/shop", "", 403, `{"error":{"code":"role_too_low"}}`},
		{"anonymous", "POST", "/v1/invitations/accept", `{"invitation":"{secret}"}`, 404, `{"error":{"code":"invitation_invalid"}}`},
		{"nonmember", "POST", "/v1/invitations/join", `{"invitation":"{secret}"}`, 404, `{"error":{"code":"invitation_invalid"}}`},
		{"anonymous", "POST", "/v1/invitations/join", `{"invitation":"{third}"}`, 403, `{"error":{"code":"missing_token"}}`},
		{"anonymous", "POST", "/v1/invitations/accept", `{"invitation":"{second}","username":"vic"}`, 409, `{"error":{"code":"user_taken"}}`},
		{"anonymous", "POST", "/v1/invitations/accept", `{"invitation":"{second}","username":"a b"}`, 400, `{"error":{"code":"username_invalid"}}`},
		{"anonymous", "POST", "/v1/invitations/accept", `{"invitation":"{second}"}`, 200, `{"user":{"username":"bob-smith-2"},"team":{"membership":{"role":"DEVELOPER"}}}`},
		{"nonmember", "POST", "/v1/invitations/join", `{"invitation":"{third}"}`, 200, `{"slug":"team","membership":{"role":"OWNER"}}`},
		{"nonmember", "GET", "/v9/projects/shop?slug=team", "", 200, ``},
		{"owner", "POST", "/v2/teams/team/members", `{"email":"nonsense"}`, 400, `{"error":{"code":"email_invalid"}}`},
	})
}
