package account

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Token returns the command `lateen token`.
func Token(with *command.Session) *cobra.Command {
	s := &session{with}
	c := &cobra.Command{
		Use:     "token",
		Aliases: []string{"tokens"},
		GroupID: command.Settings,
		Short:   "List, make and end your tokens",
		Long: "A token lets its bearer act as you. Make one for each machine and program that\n" +
			"needs one, so that each can be ended by itself.",
		Example: "lateen token ls\nlateen token add ci\nlateen token rm ci",
	}
	command.Family(c)
	command.Adopt(c, newTokenListCommand(s), newTokenAddCommand(s), newTokenRemoveCommand(s))
	return c
}

func newTokenListCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List tokens",
		Long:  "Lists your tokens. Their secrets are not kept and can't be shown.",
		Args:  command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			tokens, err := api.Tokens(c.Context())
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(map[string]any{"tokens": tokens})
			}
			rows := make([][]string, 0, len(tokens))
			for _, t := range tokens {
				rows = append(rows, []string{terminal.Paint(terminal.Bold, terminal.Clean(t.Name)), string(t.ID), s.Age(t.CreatedAt), s.Age(t.ActiveAt)})
			}
			s.Term.Table([]terminal.Column{{Title: "name"}, {Title: "id"}, {Title: "made", Right: true, Drop: 2}, {Title: "used", Right: true, Drop: 1}}, rows)
			return nil
		},
	}
}

func newTokenAddCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "add <name>",
		Short:   "Make a token",
		Long:    "Makes a token that acts as you and prints its secret, this once.",
		Example: "lateen token add ci",
		Args:    command.Takes(1, 1, "what it is for"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			secret, err := api.CreateToken(c.Context(), args[0])
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(map[string]string{"name": args[0], "token": secret})
			}
			s.Term.Donef("Made the token %s. It can't be shown again:", terminal.Paint(terminal.Bold, terminal.Clean(args[0])))
			s.Term.Answer(secret)
			return nil
		},
	}
}

func newTokenRemoveCommand(s *session) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:     "rm <name|id>",
		Aliases: []string{"remove"},
		Short:   "End a token",
		Long:    "Ends a token: nobody can act with it from then on.",
		Args:    command.Takes(1, 1, "which token"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			t, err := findToken(c.Context(), api, args[0])
			if err != nil {
				return err
			}
			if err := s.Confirm(c.Context(), yes, fmt.Sprintf("End the token %s?", terminal.Paint(terminal.Bold, terminal.Clean(t.Name)))); err != nil {
				return err
			}
			if err := api.RevokeToken(c.Context(), string(t.ID)); err != nil {
				return err
			}
			s.Term.Donef("Ended the token %s", terminal.Clean(t.Name))
			return nil
		},
	}
	command.YesFlag(c, &yes)
	return c
}

// findToken returns the token of an id or, if it is the only one, of a name.
func findToken(ctx context.Context, api *client.Client, idOrName string) (*lateen.Token, error) {
	tokens, err := api.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	var found *lateen.Token
	for i := range tokens {
		t := &tokens[i]
		switch {
		case string(t.ID) == idOrName:
			return t, nil
		case t.Name != idOrName:
		case found != nil:
			return nil, lateen.ErrInvalid.With("several tokens are called %s", idOrName).WithHint("name one by its id; see them with `lateen token ls`")
		default:
			found = t
		}
	}
	if found == nil {
		return nil, lateen.ErrTokenNotFound.WithHint("see yours with `lateen token ls`")
	}
	return found, nil
}
