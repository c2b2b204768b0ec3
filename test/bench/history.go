package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// historyFile is the file with the results of former runs, from the root of the repository.
const historyFile = "test/bench/history.md"

// dateFormat is that of the title of an entry.
const dateFormat = "2006-01-02 15:04 UTC"

// entry is a run in the history.
type entry struct {
	date time.Time
	// commit is the commit that was measured, with -dirty if there were other changes.
	commit string
	// machine is the machine, its load, and what was measured, in one line.
	machine string
	results *results
}

// newEntry returns an entry of this moment, without results.
func newEntry(ctx context.Context, o options) (entry, error) {
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").Output()
	if err != nil {
		return entry{}, fmt.Errorf("the commit: %w", err)
	}
	processor, err := firstMatch("/proc/cpuinfo", `(?m)^model name\s*: (.*)$`)
	if err != nil {
		return entry{}, err
	}
	load, err := firstMatch("/proc/loadavg", `^(\S+)`)
	if err != nil {
		return entry{}, err
	}
	return entry{
		date: time.Now().UTC().Truncate(time.Minute), commit: strings.TrimSpace(string(commit)),
		machine: fmt.Sprintf("%s, %d CPUs, %s; medians of %d times %s; load average %s at the start",
			processor, runtime.NumCPU(), runtime.Version(), o.repetitions, o.duration, load),
	}, nil
}

// firstMatch returns the first group of the first match in a file.
func firstMatch(file, expression string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	match := regexp.MustCompile(expression).FindSubmatch(text)
	if match == nil {
		return "", fmt.Errorf("%s has nothing like %s", file, expression)
	}
	return string(match[1]), nil
}

// String returns the entry as Markdown.
func (e entry) String() string {
	return fmt.Sprintf("## %s, %s\n\n%s\n\n%s", e.date.Format(dateFormat), e.commit, e.machine, historyTable(e.results))
}

// readHistory returns the entries of a file, the newest one last.
func readHistory(path string) ([]entry, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	entries, err := parseHistory(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return entries, nil
}

// appendHistory adds an entry to the end of a file.
func appendHistory(path string, e entry) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString("\n" + e.String())
	return errors.Join(err, file.Close())
}

// parseHistory reads the entries of a history. Errors name the line.
func parseHistory(text string) ([]entry, error) {
	var (
		entries []entry
		sizes   []int // of the table of the last entry
	)
	for number, line := range strings.Split(text, "\n") {
		var err error
		title, isTitle := strings.CutPrefix(line, "## ")
		switch last := len(entries) - 1; {
		case isTitle:
			var e entry
			e, err = parseTitle(title)
			entries, sizes = append(entries, e), nil
		case last < 0 || line == "": // The introduction of the file.
		case !strings.HasPrefix(line, "|"):
			entries[last].machine = line
		case sizes == nil:
			sizes, err = parseSizes(cells(line))
		case strings.HasPrefix(line, "|--"):
		default:
			err = entries[last].results.parseRow(cells(line), sizes)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
	}
	return entries, nil
}

// parseTitle reads the date and the commit of an entry.
func parseTitle(title string) (entry, error) {
	date, commit, found := strings.Cut(title, ", ")
	at, err := time.Parse(dateFormat, date)
	if err != nil || !found {
		return entry{}, fmt.Errorf("the title of an entry must be like %q, is %q", "2006-01-02 15:04 UTC, COMMIT", title)
	}
	return entry{date: at, commit: commit, results: &results{}}, nil
}

// labelCells is the number of cells of a row before its values.
const labelCells = 2

// parseSizes reads the numbers of nodes in the heading of a table.
func parseSizes(heading []string) ([]int, error) {
	if len(heading) <= labelCells {
		return nil, fmt.Errorf("the heading of a table must have more than %d cells, has %d", labelCells, len(heading))
	}
	var sizes []int
	for _, cell := range heading[labelCells:] {
		size, err := strconv.Atoi(cell)
		if err != nil {
			return nil, fmt.Errorf("the heading of a table must have numbers of nodes, has %q", cell)
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

// parseRow adds the values of a row.
func (r *results) parseRow(cells []string, sizes []int) error {
	if len(cells) != labelCells+len(sizes) {
		return fmt.Errorf("a row must have %d cells, has %d", labelCells+len(sizes), len(cells))
	}
	for i, size := range sizes {
		cell := cells[labelCells+i]
		if cell == "" {
			continue
		}
		value, err := strconv.ParseFloat(cell, 64)
		if err != nil {
			return fmt.Errorf("%s, %s: %q is not a number", cells[0], cells[1], cell)
		}
		r.add(cells[0], metric(cells[1]), size, value)
	}
	return nil
}

// cells returns the cells of a row of a Markdown table.
func cells(line string) []string {
	parts := strings.Split(strings.Trim(line, "|"), "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}
