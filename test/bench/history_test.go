package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func someResults() *results {
	r := &results{}
	r.add(labelDry, p50Ratio, 100, 1.25)
	r.add(labelDry, p50Ratio, 5000, 2.5)
	r.add(subjectProcess, residentMiB, 5000, 101)
	r.add(mixDry, cpuMilliseconds, 100, 0.5)
	return r
}

func someEntry(commit string) entry {
	return entry{
		date: time.Date(2026, 11, 30, 14, 5, 0, 0, time.UTC), commit: commit,
		machine: "a processor, 2 CPUs", results: someResults(),
	}
}

func TestHistoryIsReadAsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.md")
	if err := os.WriteFile(path, []byte("# Title\n\nSome text.\nMore text.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if entries, err := readHistory(path); err != nil || len(entries) != 0 {
		t.Fatalf("a file without entries has %v, %v", entries, err)
	}
	written := []entry{someEntry("0123456789ab"), someEntry("ba9876543210-dirty")}
	written[1].results.add(labelDry, growth, 5000, 2)
	for _, e := range written {
		if err := appendHistory(path, e); err != nil {
			t.Fatal(err)
		}
	}
	read, err := readHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read, written) {
		t.Errorf("read %+v, written %+v", read, written)
	}
}

func TestAppendHistoryNeedsTheFile(t *testing.T) {
	if err := appendHistory(filepath.Join(t.TempDir(), "history.md"), someEntry("0")); err == nil {
		t.Error("an entry was added to a file that does not exist")
	}
}

// TestHistory reads the file of the repository.
func TestHistory(t *testing.T) {
	entries, err := readHistory(filepath.Base(historyFile))
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if e.machine == "" || len(e.results.rows) == 0 {
			t.Errorf("the entry of commit %s has machine %q and %d rows", e.commit, e.machine, len(e.results.rows))
		}
		if i > 0 && e.date.Before(entries[i-1].date) {
			t.Errorf("the entry of commit %s is older than the one before it", e.commit)
		}
	}
}

func TestParseHistoryErrors(t *testing.T) {
	const head = "## 2026-11-30 14:05 UTC, 0123\n\nmachine\n\n| what | measure | 100 |\n|---|---|--:|\n"
	for text, want := range map[string]string{
		"## yesterday, 0123":                    `line 1: the title of an entry must be like`,
		"## 2026-11-30 14:05 UTC":               `line 1: the title of an entry must be like`,
		head + "| a | b | c |":                  `line 7: a, b: "c" is not a number`,
		head + "| a | b | 1 | 2 |":              `line 7: a row must have 3 cells, has 4`,
		strings.Replace(head, "100", "many", 1): `line 5: the heading of a table must have numbers of nodes, has "many"`,
		strings.Replace(head, " 100 |", "", 1):  `line 5: the heading of a table must have more than 2 cells, has 2`,
	} {
		if _, err := parseHistory(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error of %q is %v, want %s", text, err, want)
		}
	}
}
