package docs

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Command is one command line of a document.
type Command struct {
	// Text is the line, without a comment at its end.
	Text string
	// Exit is the exit code that it must have.
	Exit int
	// Line is its number in the file, from 1.
	Line int
}

var (
	comment  = regexp.MustCompile(`\s+# .*$`)
	exitCode = regexp.MustCompile(`#.*exit code (\d+)`)
)

// Commands returns the command lines of a block of the language sh.
func (b *Block) Commands() []Command {
	var commands []Command
	for i, line := range b.Lines {
		c := Command{Text: strings.TrimSpace(comment.ReplaceAllString(line, "")), Line: b.Line + i}
		if c.Text == "" || strings.HasPrefix(c.Text, "#") {
			continue
		}
		if code := exitCode.FindStringSubmatch(line); code != nil {
			c.Exit, _ = strconv.Atoi(code[1]) // The pattern has digits only.
		}
		commands = append(commands, c)
	}
	return commands
}

// Transcript returns the command lines of a block of the language console: the lines that begin with "$ ".
func (b *Block) Transcript() ([]Command, error) {
	var commands []Command
	for i, line := range b.Lines {
		switch text, ok := strings.CutPrefix(line, "$ "); {
		case ok:
			commands = append(commands, Command{Text: text, Line: b.Line + i})
		case len(commands) == 0:
			return nil, fmt.Errorf("line %d: a transcript begins with a line \"$ COMMAND\"", b.Line+i)
		}
	}
	return commands, nil
}

// commandTimeout bounds one command line: the slowest takes a few seconds.
const commandTimeout = 2 * time.Minute

// Run runs the command in a shell and returns what it printed on both streams. An error says that the exit code is
// not Exit.
func (c *Command) Run(ctx context.Context, dir string, environment []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, "sh", "-c", c.Text)
	command.Dir, command.Env = dir, environment
	out, err := command.CombinedOutput()
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code, err = exit.ExitCode(), nil
	}
	if err == nil && code != c.Exit {
		err = fmt.Errorf("exit code %d, want %d", code, c.Exit)
	}
	return string(out), err
}
