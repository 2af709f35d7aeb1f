package cli

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/internal/cli/command"
)

func newCompletionCommand(s *session) *cobra.Command {
	c := &cobra.Command{
		Use:   "completion <bash|zsh|fish|powershell>",
		Short: "Write a script that completes commands in your shell",
		Long: "Writes a script that lets your shell complete commands, flags, and the names\n" +
			"of projects, deployments and aliases.",
		Example: "lateen completion bash > ~/.local/share/bash-completion/completions/lateen\n" +
			"lateen completion zsh > \"${fpath[1]}/_lateen\"\n" +
			"lateen completion fish > ~/.config/fish/completions/lateen.fish\n" +
			"lateen completion powershell | Out-String | Invoke-Expression",
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args:      command.Takes(1, 1, "for which shell"),
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		var script bytes.Buffer
		var err error
		switch root := c.Root(); args[0] {
		case "bash":
			err = root.GenBashCompletionV2(&script, true)
		case "zsh":
			err = root.GenZshCompletion(&script)
		case "fish":
			err = root.GenFishCompletion(&script, true)
		case "powershell":
			err = root.GenPowerShellCompletionWithDesc(&script)
		default:
			return command.ErrUsage.With("there is no completion for %q", args[0]).WithHint("bash, zsh, fish and powershell are known")
		}
		if err != nil {
			return fmt.Errorf("write the completion for %s: %w", args[0], err)
		}
		s.Term.Raw(script.String())
		return nil
	}
	return c
}
