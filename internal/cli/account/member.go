package account

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Members returns the command `lateen members`.
func Members(with *command.Session) *cobra.Command {
	s := &session{with}
	c := &cobra.Command{
		Use:     "members",
		Aliases: []string{"member"},
		GroupID: command.Settings,
		Short:   "List, invite, change and remove members of a team",
		Long:    "Members of a team are owners, developers or viewers. --team selects the team.",
		Example: "lateen members ls\nlateen members invite bob@example.com --role viewer\nlateen members role bob owner",
	}
	command.Family(c)
	command.Adopt(c, s.memberList(), s.memberInvite(), s.memberRole(), s.memberRemove())
	return c
}

func (s *session) memberList() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List members and open invitations",
		Long:    "Lists the members of the team with their roles, and its open invitations.",
		Args:    command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			api, t, err := s.team(c.Context(), nil)
			if err != nil {
				return err
			}
			members, invitations, err := api.Members(c.Context(), string(t.ID))
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(map[string]any{"members": members, "emailInviteCodes": invitations, "pagination": command.Pagination{Count: len(members)}})
			}
			rows := make([][]string, 0, len(members)+len(invitations))
			for _, m := range members {
				rows = append(rows, []string{terminal.Paint(terminal.Bold, terminal.Clean(m.Username)), strings.ToLower(string(m.Role)), terminal.Clean(m.Email), string(m.UID)})
			}
			for _, i := range invitations {
				rows = append(rows, []string{terminal.Paint(terminal.Dim, "invited"), strings.ToLower(string(i.Role)), terminal.Clean(i.Email), string(i.ID)})
			}
			s.Term.Table([]terminal.Column{{Title: "member"}, {Title: "role"}, {Title: "e-mail", Drop: 2}, {Title: "id", Drop: 1}}, rows)
			return nil
		},
	}
}

func (s *session) memberInvite() *cobra.Command {
	var role string
	var secret bool
	c := &cobra.Command{
		Use:   "invite <email>",
		Short: "Invite a person to the team",
		Long: "Creates an invitation and prints the command that accepts it. An invitation can be\n" +
			"used once and expires after 7 days. No e-mail is sent.",
		Example: "lateen members invite bob@example.com\nlateen members invite eve@example.com --role owner --team acme",
		Args:    command.Takes(1, 1, "the e-mail address"),
		RunE: func(c *cobra.Command, args []string) error {
			parsed, err := lateen.ParseRole(role)
			if err != nil {
				return err
			}
			api, t, err := s.team(c.Context(), nil)
			if err != nil {
				return err
			}
			i, err := api.Invite(c.Context(), string(t.ID), args[0], parsed)
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(i)
			}
			if secret {
				s.Term.Answer(i.Secret)
				return nil
			}
			s.Term.Donef("Invited %s to %s as %s. Accept the invitation with:", terminal.Clean(i.Email), t.Slug, strings.ToLower(string(i.Role)))
			s.Term.Answer("lateen login " + api.BaseURL + " --invite " + i.Secret)
			return nil
		},
	}
	c.Flags().BoolVar(&secret, "secret", false, "print only the secret of the invitation")
	c.Flags().StringVar(&role, "role", "developer", "`role` in the team: owner, developer or viewer")
	_ = c.RegisterFlagCompletionFunc("role", completeRoles) // fails for unknown flags only
	return c
}

func (s *session) memberRole() *cobra.Command {
	return &cobra.Command{
		Use:               "role <member> <role>",
		Short:             "Change the role of a member",
		Long:              "Changes the role of a member, by username or id, to owner, developer or viewer. A\nteam keeps at least one owner.",
		Example:           "lateen members role bob viewer",
		Args:              command.Takes(2, 2, "the member and the role"),
		ValidArgsFunction: s.completeMemberRole,
		RunE: func(c *cobra.Command, args []string) error {
			role, err := lateen.ParseRole(args[1])
			if err != nil {
				return err
			}
			api, t, err := s.team(c.Context(), nil)
			if err != nil {
				return err
			}
			m, err := api.ChangeRole(c.Context(), string(t.ID), args[0], role)
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(m)
			}
			s.Term.Donef("%s is %s of %s", terminal.Paint(terminal.Bold, terminal.Clean(m.Username)), strings.ToLower(string(m.Role)), t.Slug)
			return nil
		},
	}
}

func (s *session) memberRemove() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:               "rm <member|invitation>",
		Aliases:           []string{"remove"},
		Short:             "Remove a member, or revoke an invitation",
		Long:              "Removes a member, by username or id, or revokes an invitation, by its id. Tokens of a\nremoved user lose access to the team at once.",
		Args:              command.Takes(1, 1, "the member or the invitation"),
		ValidArgsFunction: command.CompleteFirst(s.completeMembers),
		RunE: func(c *cobra.Command, args []string) error {
			api, t, err := s.team(c.Context(), nil)
			if err != nil {
				return err
			}
			if err := s.Confirm(c.Context(), yes, fmt.Sprintf("Remove %s from %s?", terminal.Paint(terminal.Bold, terminal.Clean(args[0])), t.Slug)); err != nil {
				return err
			}
			if strings.HasPrefix(args[0], "inv_") {
				if err := api.RevokeInvitation(c.Context(), string(t.ID), lateen.InvitationID(args[0])); err != nil {
					return err
				}
				s.Term.Donef("Revoked the invitation %s to %s", terminal.Clean(args[0]), t.Slug)
				return nil
			}
			if err := api.RemoveMember(c.Context(), string(t.ID), args[0]); err != nil {
				return err
			}
			s.Term.Donef("Removed %s from %s", terminal.Clean(args[0]), t.Slug)
			return nil
		},
	}
	command.YesFlag(c, &yes)
	return c
}
