package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Skipped counts what ReadObjects skipped.
type Skipped struct {
	// Kinds has the number of objects of each kind that the caller does not want.
	Kinds map[string]int
	// Files are the files of directories that contain no object: hidden files, files of Helm
	// and kustomize, and templates.
	Files []string
}

// shownSkipped is the number of kinds and of files that Skipped.String names.
const shownSkipped = 5

// String describes what was skipped, "" for nothing.
func (s *Skipped) String() string {
	var parts []string
	if len(s.Kinds) > 0 {
		n := 0
		kinds := slices.SortedFunc(maps.Keys(s.Kinds), func(a, b string) int { return cmp.Or(s.Kinds[b]-s.Kinds[a], cmp.Compare(a, b)) })
		names := make([]string, len(kinds))
		for i, kind := range kinds {
			n += s.Kinds[kind]
			names[i] = fmt.Sprintf("%d %s", s.Kinds[kind], kind)
		}
		parts = append(parts, fmt.Sprintf("%d %s of other kinds (%s)", n, plural(n, "object"), shorten(names)))
	}
	if n := len(s.Files); n > 0 {
		parts = append(parts, fmt.Sprintf("%d %s without objects (%s)", n, plural(n, "file"), shorten(s.Files)))
	}
	if len(parts) == 0 {
		return ""
	}
	return "skipped " + strings.Join(parts, " and ")
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// shorten lists the first names.
func shorten(names []string) string {
	if more := len(names) - shownSkipped; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shownSkipped], ", "), more)
	}
	return strings.Join(names, ", ")
}

// add adds what another path skipped.
func (s *Skipped) add(more Skipped) {
	s.Files = append(s.Files, more.Files...)
	for kind, n := range more.Kinds {
		s.count(kind, n)
	}
}

func (s *Skipped) count(kind string, n int) {
	if s.Kinds == nil {
		s.Kinds = map[string]int{}
	}
	s.Kinds[kind] += n
}

// ReadObjects is like Read for paths that may contain more than the wanted objects, such as
// the directories of a Git repository and the output of "helm template". wanted reports
// whether the caller wants a document, by its apiVersion and kind. ReadObjects skips the
// others. In directories, it also skips templates and files that are no objects.
//
// A file that was named and contains no wanted object is returned whole, so that the caller
// can report what it contains. result has one list for each path.
func ReadObjects(paths []string, stdin io.Reader, wanted func(*Document) bool) (result [][]Document, skipped Skipped, err error) {
	for _, path := range paths {
		docs, more, err := readPath(path, stdin, wanted)
		if err != nil {
			return nil, Skipped{}, err
		}
		result = append(result, docs)
		skipped.add(more)
	}
	return result, skipped, nil
}

func readPath(path string, stdin io.Reader, wanted func(*Document) bool) ([]Document, Skipped, error) {
	files, others, err := list(path)
	if err != nil {
		return nil, Skipped{}, err
	}
	named := len(files) == 1 && files[0] == path
	skipped := Skipped{Files: others}
	var docs []Document
	for _, file := range files {
		read, err := readFile(file, stdin, !named)
		if errors.Is(err, errTemplate) && !named || err == nil && len(read) == 0 && !named {
			skipped.Files = append(skipped.Files, file)
			continue
		}
		if err != nil {
			return nil, Skipped{}, err
		}
		for i := range read {
			if wanted(&read[i]) {
				docs = append(docs, read[i])
				continue
			}
			kind, _ := read[i].Object["kind"].(string)
			skipped.count(kind, 1)
		}
		if named && len(docs) == 0 {
			return read, Skipped{}, nil
		}
	}
	if len(docs) == 0 && isChart(path) {
		return nil, Skipped{}, fmt.Errorf("%s: is a Helm chart: render it first, for example: helm template %s | bgpguard check -f -", path, path)
	}
	slices.Sort(skipped.Files)
	return docs, skipped, nil
}

// isChart reports whether a directory is a Helm chart.
func isChart(path string) bool {
	_, err := os.Stat(filepath.Join(path, "Chart.yaml"))
	return err == nil
}
