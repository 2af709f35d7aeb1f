package command

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/client"
)

// completeTime is how long a shell waits for names.
const completeTime = 2 * time.Second

// NoFiles tells a shell to complete no file names.
const NoFiles = cobra.ShellCompDirectiveNoFileComp

// Complete returns those names of the platform that begin with prefix. A name can
// have a description after a tab. Without an answer of the platform there are none.
func (s *Session) Complete(c *cobra.Command, prefix string, names func(context.Context, *client.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), completeTime)
	defer cancel()
	api, err := s.Client()
	if err != nil {
		return nil, NoFiles
	}
	all, err := names(ctx, api)
	if err != nil {
		return nil, NoFiles
	}
	var list []string
	for _, name := range all {
		if strings.HasPrefix(name, prefix) {
			list = append(list, name)
		}
	}
	return list, NoFiles
}

// CompleteFirst completes the first argument alone.
func CompleteFirst(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, NoFiles
		}
		return complete(c, args, prefix)
	}
}
