package bird

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// askTimeout bounds the answer to one command.
const askTimeout = 10 * time.Second

// ask sends one command to the control socket of a daemon, as birdc does, and returns the lines of the answer. A line
// starts with a code of four digits and "-", or with a space if its code is that of the line before. The last line has
// a space after its code. Codes that start with 8 or 9 are errors (nest/cmds.c, doc/reply_codes).
func ask(ctx context.Context, socket, command string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	if _, err := in.ReadString('\n'); err != nil { // "0001 BIRD 1.6.8 ready."
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	if _, err := fmt.Fprintln(conn, command); err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	var lines []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("%s: %w", command, err)
		}
		text, last, failed := reply(strings.TrimSuffix(line, "\n"))
		if failed {
			return nil, fmt.Errorf("%s: BIRD answers %q", command, strings.TrimSpace(line))
		}
		if text != "" {
			lines = append(lines, text)
		}
		if last {
			return lines, nil
		}
	}
}

// reply parses one line of an answer.
func reply(line string) (text string, last, failed bool) {
	if strings.HasPrefix(line, " ") || len(line) < len("0000 ") {
		return strings.TrimPrefix(line, " "), false, false
	}
	first, separator, text := line[0], line[len("0000")], line[len("0000 "):]
	return text, separator == ' ', first == '8' || first == '9'
}
