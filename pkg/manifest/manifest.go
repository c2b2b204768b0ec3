// Package manifest reads Kubernetes objects from YAML and JSON files, with the line of each
// field, so that an error can name file, line and field.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	k8sjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Stdin is the path of standard input. StdinFile is the File of its documents.
const (
	Stdin     = "-"
	StdinFile = "<stdin>"
)

// Document is one object of a file. Each item of a List is a Document. An empty list of one
// kind, such as a NodeList, is a Document too.
type Document struct {
	// File is the path of the file as it was given, or of the file in a given directory. It
	// is StdinFile for standard input.
	File string
	// Line is the first line of the object, counted from 1.
	Line int
	// Object is the object as JSON; integers are int64.
	Object map[string]any

	node   *yamlv3.Node
	offset int
}

// Error is an error at a place in a file.
type Error struct {
	File string
	Line int
	Err  error
}

// Error returns "file:line: error".
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap returns the error without file and line.
func (e *Error) Unwrap() error { return e.Err }

// At returns err with the line of a field, such as "spec.peerIP" or "spec.filters[1]", or of
// the nearest parent that exists.
func (d *Document) At(field string, err error) error {
	return &Error{d.File, d.LineOf(field), err}
}

// LineOf returns the line of a field, or of the nearest parent that exists, counted from 1.
func (d *Document) LineOf(field string) int {
	line := d.Line
	node := d.node
	for _, step := range steps(field) {
		next := child(node, step)
		if next == nil {
			break
		}
		line, node = next.Line+d.offset, next
	}
	return line
}

var stepPattern = regexp.MustCompile(`\[([^\]]*)\]|([^.\[\]]+)`)

func steps(field string) []string {
	var out []string
	for _, m := range stepPattern.FindAllStringSubmatch(field, -1) {
		out = append(out, m[1]+m[2])
	}
	return out
}

// child returns the item of a sequence, or the key node of a mapping, which has the line of
// the field, with the value as its content.
func child(n *yamlv3.Node, step string) *yamlv3.Node {
	if n == nil {
		return nil
	}
	if n.Kind == yamlv3.ScalarNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	if n.Kind == yamlv3.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				key := *n.Content[i]
				key.Content = []*yamlv3.Node{n.Content[i+1]}
				return &key
			}
		}
	case yamlv3.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}

// Read reads the objects of all paths in order. A path is a file, a directory, or "-" for
// stdin. Of a directory it reads the .yaml, .yml and .json files, sorted by name, without
// hidden files, files of Helm and kustomize, and subdirectories. Errors are *Error if they
// have a place.
func Read(paths []string, stdin io.Reader) ([]Document, error) {
	var docs []Document
	for _, path := range paths {
		files, _, err := list(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			more, err := readFile(file, stdin, false)
			if err != nil {
				return nil, err
			}
			docs = append(docs, more...)
		}
	}
	return docs, nil
}

// list returns the files of a path that may contain objects, and the other ones of a
// directory.
func list(path string) (files, others []string, err error) {
	if path == Stdin {
		return []string{path}, nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, plain(err)
	}
	if !info.IsDir() {
		return []string{path}, nil, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, nil, plain(err)
	}
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		// The files of a mounted ConfigMap are links to files in hidden directories.
		info, err := os.Stat(file)
		if err != nil || info.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)) {
			continue
		}
		if noObject.MatchString(e.Name()) {
			others = append(others, file)
		} else {
			files = append(files, file)
		}
	}
	if len(files)+len(others) == 0 {
		return nil, nil, fmt.Errorf("%s: no .yaml, .yml or .json file in this directory", path)
	}
	return files, others, nil
}

// noObject matches the names of files that are no objects of the cluster: hidden files, and
// those of Helm and kustomize.
var noObject = regexp.MustCompile(`^(\..*|kustomization\..*|Chart\.yaml|values([-._].*)?\.ya?ml)$`)

// plain removes the operation from an error: "open x: no such file" becomes "x: no such file".
func plain(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", e.Path, e.Err)
	}
	return err
}

// readFile reads a file. If lenient, it skips what is no object.
func readFile(path string, stdin io.Reader, lenient bool) ([]Document, error) {
	if path == Stdin && stdin == nil {
		return nil, errors.New("- (standard input) cannot be read here: use a file or a directory")
	}
	if path == Stdin {
		data, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", StdinFile, err)
		}
		return parser{StdinFile, lenient}.parse(data)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, plain(err)
	}
	return parser{path, lenient}.parse(data)
}

// Parse reads the objects in data, which is one or more YAML documents, or one or more JSON
// values with or without a separator, such as a line for each. A list of objects, such as
// "calicoctl get -o yaml" writes for several kinds, counts as its items. file is the name in
// errors.
func Parse(file string, data []byte) ([]Document, error) { return parser{file, false}.parse(data) }

// parser parses a file.
type parser struct {
	file string
	// lenient makes the parser skip documents that have neither apiVersion nor kind.
	lenient bool
}

// errTemplate is the error of a file that must be rendered before it has objects.
var errTemplate = errors.New("is a template: render it first, for example: helm template . | bgpguard check -f -")

// template matches an action of a Helm template.
var template = regexp.MustCompile(`\{\{-?\s*[.$a-zA-Z/(]`)

func (p parser) parse(data []byte) ([]Document, error) {
	docs, err := p.separated(data)
	if err != nil && template.Match(data) {
		at := bytes.Count(data[:template.FindIndex(data)[0]], []byte("\n")) + 1
		return nil, &Error{p.file, at, errTemplate}
	}
	return docs, err
}

func (p parser) separated(data []byte) ([]Document, error) {
	var docs []Document
	start, offset, line := 0, 0, 0 // first byte of the document, lines before it, current line
	end := 0
	for text := range bytes.Lines(data) {
		line++
		if separates(text) {
			more, err := p.values(data[start:end], offset)
			if err != nil {
				return nil, err
			}
			docs = append(docs, more...)
			start, offset = end+len(text), line
		}
		end += len(text)
	}
	more, err := p.values(data[start:], offset)
	if err != nil {
		return nil, err
	}
	return append(docs, more...), nil
}

// values parses text that is one YAML document, or several JSON values.
func (p parser) values(text []byte, offset int) ([]Document, error) {
	ends := jsonValues(text)
	if len(ends) < 2 {
		return p.parseOne(text, offset)
	}
	var docs []Document
	start := 0
	for _, end := range ends {
		more, err := p.parseOne(text[start:end], offset)
		if err != nil {
			return nil, err
		}
		docs = append(docs, more...)
		offset += bytes.Count(text[start:end], []byte("\n"))
		start = end
	}
	return docs, nil
}

// jsonValues returns the ends of the JSON objects of which text consists, nil if it does not
// consist of objects.
func jsonValues(text []byte) []int {
	if trimmed := bytes.TrimSpace(text); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil
	}
	var ends []int
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var value json.RawMessage
		switch err := d.Decode(&value); {
		case errors.Is(err, io.EOF):
			return ends
		case err != nil || value[0] != '{':
			return nil
		}
		ends = append(ends, int(d.InputOffset()))
	}
}

// separates reports whether a line separates two documents. As in kubectl, it is three
// dashes, optionally followed by space and a comment.
func separates(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	rest = bytes.TrimSpace(rest)
	return ok && (len(rest) == 0 || rest[0] == '#')
}

func (p parser) parseOne(text []byte, offset int) ([]Document, error) {
	file := p.file
	// The values are those that kubectl reads. The second parser only finds the lines.
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, syntaxError(file, offset, err)
	}
	var object any
	if err := k8sjson.UnmarshalCaseSensitivePreserveInts(raw, &object); err != nil {
		return nil, &Error{file, offset + 1, err}
	}
	decoder := yamlv3.NewDecoder(bytes.NewReader(text))
	var root, next yamlv3.Node
	if err := decoder.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return nil, syntaxError(file, offset, err)
	}
	// Both parsers stop after the first document. Text that follows, such as a second JSON
	// object, must not be ignored silently.
	switch err := decoder.Decode(&next); {
	case err == nil:
		return nil, &Error{file, next.Line + offset, errors.New("must be a separate document: add a line with --- before it")}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(file, offset, err)
	}
	if object == nil || len(root.Content) == 0 {
		return nil, nil // Only comments.
	}
	return p.documents(offset, root.Content[0], object)
}

func (p parser) documents(offset int, node *yamlv3.Node, object any) ([]Document, error) {
	d := Document{File: p.file, Line: node.Line + offset, node: node, offset: offset}
	if items, ok := object.([]any); ok {
		return p.items(offset, node, node, items)
	}
	var ok bool
	if d.Object, ok = object.(map[string]any); !ok {
		if p.lenient {
			return nil, nil
		}
		return nil, &Error{p.file, d.Line, errors.New("must be an object with apiVersion and kind")}
	}
	if p.lenient && d.Object["apiVersion"] == nil && d.Object["kind"] == nil {
		return nil, nil
	}
	for _, field := range []string{"apiVersion", "kind"} {
		if s, ok := d.Object[field].(string); !ok || s == "" {
			return nil, d.At(field, fmt.Errorf("%s: is missing or not a string", field))
		}
	}
	if !strings.HasSuffix(d.Object["kind"].(string), "List") {
		return []Document{d}, nil
	}
	items, ok := d.Object["items"].([]any)
	if !ok {
		return nil, d.At("items", errors.New("items: must be a list of objects"))
	}
	if len(items) == 0 && d.Object["kind"] != "List" {
		return []Document{d}, nil
	}
	return p.items(offset, node, child(node, "items"), items)
}

// items returns the objects of a list at a node. parent is the nearest node with a line.
func (p parser) items(offset int, parent, list *yamlv3.Node, items []any) ([]Document, error) {
	var docs []Document
	for i, item := range items {
		at := child(list, strconv.Itoa(i))
		if at == nil { // The list comes from a merge key.
			at = parent
		}
		more, err := p.documents(offset, at, item)
		if err != nil {
			return nil, err
		}
		docs = append(docs, more...)
	}
	return docs, nil
}

var linePattern = regexp.MustCompile(`line (\d+): `)

// syntaxError makes an error of the YAML parser an *Error. The parser counts lines from the
// start of the document.
func syntaxError(file string, offset int, err error) error {
	if err == nil {
		err = errors.New("is empty")
	}
	text, line := err.Error(), 1
	if m := linePattern.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1]) // It is all digits.
		text = strings.Replace(text, m[0], "", 1)
	}
	text = strings.Join(strings.Fields(text), " ")
	for _, prefix := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return &Error{file, line + offset, errors.New(text)}
}
