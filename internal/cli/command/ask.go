package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"

	"github.com/lateen-dev/lateen/internal/terminal"
)

// Ask prompts the user at the terminal; an empty answer selects the default otherwise.
func (s *Session) Ask(ctx context.Context, question, otherwise string) (string, error) {
	prompt := terminal.Paint(terminal.Code, "?") + " " + question + " "
	if otherwise != "" {
		prompt += terminal.Paint(terminal.Dim, "("+otherwise+")") + " "
	}
	s.Term.Prompt(prompt)
	line, err := s.readLine(ctx)
	if err != nil {
		s.Term.Prompt("\n")
		return "", err
	}
	if line == "" {
		return otherwise, nil
	}
	return line, nil
}

// Confirm asks for confirmation of an irreversible action. Without a terminal it returns
// an error with the flag that confirms.
func (s *Session) Confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	if !s.Term.Interactive() {
		return ErrUsage.With("confirmation needs a terminal").WithHint("confirm with --yes")
	}
	answer, err := s.Ask(ctx, question, "y/N")
	if err != nil {
		return err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return ErrDeclined
	}
	return nil
}

// Removal is the removal of something that cannot be undone.
type Removal struct {
	Question string
	Remove   func(context.Context) error
	Done     string // text after the removal
}

// Remove asks for confirmation, unless yes is set, then removes.
func (s *Session) Remove(ctx context.Context, yes bool, r Removal) error {
	if err := s.Confirm(ctx, yes, r.Question); err != nil {
		return err
	}
	if err := r.Remove(ctx); err != nil {
		return err
	}
	s.Term.Donef("%s", r.Done)
	return nil
}

// readLine returns the next line of standard input without its line break. The
// end of the input is an empty line.
func (s *Session) readLine(ctx context.Context) (string, error) {
	return within(ctx, func() (string, error) {
		line, err := s.input.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read standard input: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	})
}

// readAll returns the rest of standard input, without a line break at its end.
func (s *Session) readAll(ctx context.Context) (string, error) {
	return within(ctx, func() (string, error) {
		b, err := io.ReadAll(s.input)
		if err != nil {
			return "", fmt.Errorf("read standard input: %w", err)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
	})
}

// ReadSecret prompts for a secret without echo, or reads it from an input that is not a
// terminal.
func (s *Session) ReadSecret(ctx context.Context, question string) (string, error) {
	fd, ok := s.Term.Input()
	if !ok {
		return s.readAll(ctx)
	}
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask at the terminal: %w", err)
	}
	s.Term.Prompt(terminal.Paint(terminal.Code, "?") + " " + question + " ")
	secret, err := within(ctx, func() (string, error) {
		b, err := term.ReadPassword(fd)
		if err != nil {
			return "", fmt.Errorf("ask at the terminal: %w", err)
		}
		return string(b), nil
	})
	s.Term.Prompt("\n")
	if err != nil {
		_ = term.Restore(fd, before) // it was interrupted while nothing was echoed
	}
	return secret, err
}

// within waits for an uninterruptible read until ctx ends. An unfinished read ends with
// the process.
func within(ctx context.Context, read func() (string, error)) (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := read()
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
