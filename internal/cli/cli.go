// Package cli is the command line of sr3: one file for each command, on top of
// the public packages.
//
// Results go to standard output, progress and messages to standard error. The
// exit code is 0 when all was done, 1 after a failure, 2 when the command line
// made no sense, 3 when part of a batch failed and 130 when interrupted.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"
)

// Exit codes of the program.
const (
	ExitDone        = 0   // everything asked for was done
	ExitFailure     = 1   // it was not
	ExitUsage       = 2   // the command line made no sense
	ExitPartial     = 3   // part of a batch failed
	ExitInterrupted = 130 // Ctrl-C or a termination signal
)

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
	args     []string // of the program, as typed
}

// commandLine is what was typed, quoted as a shell wants it.
func (s *streams) commandLine() string {
	line := "sr3"
	for _, arg := range s.args {
		plain := arg != "" && !strings.ContainsFunc(arg, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_=+./:,@%", r)
		})
		if !plain {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		line += " " + arg
	}
	return line
}

// Run carries out a command line, without the program's name, and returns the
// exit code. Cancelling ctx stops it cleanly with code 130.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	s := &streams{in: stdin, out: stdout, err: stderr, args: args}
	root := newRoot(s)
	root.SetArgs(withDefaultCommand(root, args))
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	return report(s, cmd, err)
}

// Main runs the process's own command line: an interrupt or a termination signal
// cancels the work, a second one kills the process.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// newRoot assembles the commands.
func newRoot(s *streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "sr3",
		Short: "Make images larger by iterative refinement",
		Long: `sr3 makes images larger with SR3, "Image Super-Resolution via Iterative
Refinement": a network that was taught to take noise away looks at the enlarged
image and at pure noise, and turns the noise into detail, step by step.

A file as the first argument means "sr3 upscale FILE".`,
		Example: `  sr3 photo.jpg                     writes photo_sr3_x4.png beside it
  sr3 upscale photos -o large       a whole folder
  sr3 inspect photo_sr3_x4.png      how an image was made
  sr3 serve                         a page for the browser, and HTTP
  sr3 train --data photos --out runs/mine`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%w", err) })
	addGroup(root, "Make images larger:", newUpscale(s), newSample(s), newInspect(s))
	addGroup(root, "Serve others:", newServe(s), newWorker(s))
	addGroup(root, "Train models and look after them:", newTrain(s), newDataset(s), newModel(s), newSchedule(s))
	addGroup(root, "Measure results:", newEval(s), newMetrics(s), newStudy(s))
	addGroup(root, "The program itself:", newDoctor(s), newBench(s), newVersion(s))
	own := root.Groups()[len(root.Groups())-1].ID
	root.SetHelpCommandGroupID(own)
	root.SetCompletionCommandGroupID(own)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// addGroup adds commands under a title of the help.
func addGroup(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, c := range commands {
		c.GroupID = title
		root.AddCommand(c)
	}
}

// withDefaultCommand puts "upscale" before arguments that begin with a file, or
// with a flag that the program itself does not have: "sr3 photo.jpg" and
// "sr3 -i photo.jpg -o large.png" do what they say.
func withDefaultCommand(root *cobra.Command, args []string) []string {
	if len(args) == 0 {
		return args
	}
	first := args[0]
	switch {
	case first == "-h" || first == "--help" || strings.HasPrefix(first, "__complete"):
		return args
	case first == "--version" || first == "-v":
		return append([]string{"version"}, args[1:]...)
	}
	for _, c := range root.Commands() {
		if c.Name() == first || c.HasAlias(first) {
			return args
		}
	}
	if strings.HasPrefix(first, "-") || looksLikeFile(first) {
		return append([]string{"upscale"}, args...)
	}
	return args
}

// looksLikeFile tells a path from a mistyped command.
func looksLikeFile(arg string) bool {
	if strings.ContainsAny(arg, `./\`) {
		return true
	}
	_, err := os.Stat(arg)
	return err == nil
}

func unknownCommand(root *cobra.Command, name string) error {
	root.SuggestionsMinimumDistance = 2
	if near := root.SuggestionsFor(name); len(near) > 0 {
		return usagef("there is no command and no file %q; did you mean \"sr3 %s\"?", name, near[0])
	}
	return usagef("there is no command and no file %q", name)
}

// usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef makes an error that ends the program with code 2.
func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// partialError is a batch of which a part failed; the failures were reported one
// by one.
type partialError struct{ failed, total int }

func (e *partialError) Error() string {
	return fmt.Sprintf("%d of %d images failed", e.failed, e.total)
}

// errReported ends the program with code 1 without another message.
var errReported = errors.New("already reported")

// report writes what went wrong and chooses the exit code.
func report(s *streams, cmd *cobra.Command, err error) int {
	var usage *usageError
	var partial *partialError
	switch {
	case err == nil:
		return ExitDone
	case errors.Is(err, errReported):
		return ExitFailure
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(s.err, "sr3: interrupted")
		return ExitInterrupted
	case errors.As(err, &usage):
		fmt.Fprintf(s.err, "sr3: %v\nTry \"%s --help\".\n", err, cmd.CommandPath())
		return ExitUsage
	case errors.As(err, &partial):
		fmt.Fprintf(s.err, "sr3: %v\n", err)
		return ExitPartial
	}
	fmt.Fprintf(s.err, "sr3: %v\n", err)
	return ExitFailure
}

// noArgs refuses positional arguments.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}

// nArgs asks for exactly n positional arguments.
func nArgs(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("want %s, got %d arguments", what, len(args))
		}
		return nil
	}
}
