package settings

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/internal/cli/command"
)

// Cache returns the command `lateen cache`. Its verbs and flags are those of
// `vercel cache`.
func Cache(with *command.Session) *cobra.Command {
	s := &session{with}
	c := &cobra.Command{
		Use:     "cache",
		GroupID: command.Settings,
		Short:   "Purge and invalidate cached pages and data",
		Long: "Cached pages are prerendered responses and responses that functions permit to be\n" +
			"cached. The data cache has the values of fetch, unstable_cache and 'use cache' of\n" +
			"Next.js. The commands concern all deployments of a project.",
		Example: "lateen cache invalidate --tag posts\nlateen cache purge --type cdn",
	}
	command.Family(c)
	command.Adopt(c, newCachePurgeCommand(s), newCacheInvalidateCommand(s), newCacheDeleteCommand(s))
	return c
}

// purges names the content of each --type of `lateen cache purge`.
var purges = map[string]string{"all": "cached pages and data", "cdn": "cached pages", "data": "cached data"}

func newCachePurgeCommand(s *session) *cobra.Command {
	kind := "all"
	c := &cobra.Command{
		Use:   "purge",
		Short: "Expire all cached pages and data",
		Long: "Expires all cached pages of a project (--type cdn), all values in its data cache\n" +
			"(--type data), or both. The next request of each page waits until it is rendered.",
		Args: command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error { return s.purge(c.Context(), kind) },
	}
	c.Flags().StringVar(&kind, "type", kind, "`content` to expire: all, cdn or data")
	_ = c.RegisterFlagCompletionFunc("type", cobra.FixedCompletions([]string{"all", "cdn", "data"}, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	s.ProjectFlag(c)
	return c
}

func (s *session) purge(ctx context.Context, kind string) error {
	content, known := purges[kind]
	if !known {
		return command.ErrUsage.With("cache type %q unknown", kind).WithHint("set --type to all, cdn or data")
	}
	on, err := s.Here(ctx)
	if err != nil {
		return err
	}
	if kind != "data" {
		err = on.Client.ExpirePages(ctx, on.Project.ID)
	}
	if err == nil && kind != "cdn" {
		err = on.Client.ExpireData(ctx, on.Project.ID)
	}
	if err == nil {
		s.Term.Donef("Purged %s of %s", content, on.Project.Name)
	}
	return err
}

func newCacheInvalidateCommand(s *session) *cobra.Command {
	var tags []string
	c := &cobra.Command{
		Use:   "invalidate",
		Short: "Make the content with some tags stale",
		Long: "Makes the cached pages and values with one of the tags stale. The next request of a\n" +
			"page gets the stale page, and starts a refresh in the background.",
		Args: command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return s.ofTags(c.Context(), "Invalidated", tags, func(ctx context.Context, on *command.Site, tags []string) error {
				return on.Client.InvalidateTags(ctx, on.Project.ID, tags)
			})
		},
	}
	s.tagFlag(c, &tags)
	return c
}

func newCacheDeleteCommand(s *session) *cobra.Command {
	var tags []string
	var deadline int64
	c := &cobra.Command{
		Use:     "dangerously-delete",
		Aliases: []string{"delete"},
		Short:   "Expire the content with some tags",
		Long: "Expires the cached pages and values with one of the tags. The next request of each\n" +
			"page waits until it is rendered, also if that fails.",
		Args: command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return s.ofTags(c.Context(), "Expired", tags, func(ctx context.Context, on *command.Site, tags []string) error {
				return on.Client.ExpireTags(ctx, on.Project.ID, tags, deadline)
			})
		},
	}
	s.tagFlag(c, &tags)
	c.Flags().Int64Var(&deadline, "revalidation-deadline-seconds", 0, "serve the content stale for `n` seconds before it expires")
	return c
}

func (s *session) tagFlag(c *cobra.Command, tags *[]string) {
	c.Flags().StringSliceVar(tags, "tag", nil, "`tags`, separated by commas")
	_ = c.RegisterFlagCompletionFunc("tag", cobra.NoFileCompletions) // fails for unknown flags only
	s.ProjectFlag(c)
}

// ofTags calls do with tags, of which there must be some.
func (s *session) ofTags(ctx context.Context, done string, tags []string, do func(ctx context.Context, on *command.Site, tags []string) error) error {
	tags = slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return strings.TrimSpace(tag) == "" })
	if len(tags) == 0 {
		return command.ErrUsage.With("--tag missing").WithHint("name the tags: `--tag posts,authors`")
	}
	on, err := s.Here(ctx)
	if err != nil {
		return err
	}
	if err := do(ctx, on, tags); err != nil {
		return err
	}
	s.Term.Donef("%s the content of %s with the %s", done, on.Project.Name, tagText(tags))
	return nil
}

func tagText(tags []string) string {
	if len(tags) == 1 {
		return "tag " + tags[0]
	}
	return fmt.Sprintf("tags %s", strings.Join(tags, ", "))
}
