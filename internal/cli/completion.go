package cli

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/internal/cli/command"
)

func newCompletionCommand(s *command.Session) *cobra.Command {
	c := &cobra.Command{
		Use:   "completion <bash|zsh|fish|powershell>",
		Short: "Print a shell completion script",
		Long: "Prints a script that makes a shell complete commands, flags, and the names of\n" +
			"projects, deployments and aliases.",
		Example: "lateen completion bash > ~/.local/share/bash-completion/completions/lateen\n" +
			"lateen completion zsh > \"${fpath[1]}/_lateen\"\n" +
			"lateen completion fish > ~/.config/fish/completions/lateen.fish\n" +
			"lateen completion powershell | Out-String | Invoke-Expression",
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args:      command.Takes(1, 1, "the shell"),
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
			return command.ErrUsage.With("shell %q not supported", args[0]).WithHint("use bash, zsh, fish or powershell")
		}
		if err != nil {
			return fmt.Errorf("write the completion for %s: %w", args[0], err)
		}
		s.Term.Raw(script.String())
		return nil
	}
	return c
}
