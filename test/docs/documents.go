// Package docs holds the documents of the repository to the code: links lead somewhere, command lines run, and
// transcripts are what the commands print.
//
// The info string of a fenced code block says how its command lines are tested:
//
//   - "sh": each line runs in a folder with the samples of config/samples, and succeeds, or ends with the exit code of a
//     comment "# exit code N";
//   - "sh cluster": the same with kubectl against a real API server (build tag system);
//   - "sh emergency": the same while a webhook reviews changes, or does not (test/e2e);
//   - "sh outside": the lines need something that tests have not, such as a registry; make targets must exist;
//   - "console": a transcript: each line that begins with "$ " runs, and prints exactly the lines after it.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// Document is one Markdown file.
type Document struct {
	// Path is relative to the root of the repository.
	Path string
	// Links are the destinations of links and images, in order.
	Links []string
	// Anchors are the ids of the headings, as GitHub makes them.
	Anchors map[string]bool
	// Blocks are the fenced code blocks, in order.
	Blocks []Block
	// Code are the code spans in running text, in order.
	Code []string
}

// Block is a fenced code block.
type Block struct {
	// Info is the info string, such as "sh cluster".
	Info string
	// Anchor is the id of the heading before it.
	Anchor string
	// Lines are its lines; Line is the number of the first one in the file, from 1.
	Lines []string
	Line  int
}

// skipped are folders whose Markdown files belong to others.
var skipped = []string{".git", "bin", "node_modules", "testdata"}

// Read reads every Markdown file below root.
func Read(root string) ([]*Document, error) {
	var documents []*Document
	files := os.DirFS(root)
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			for _, name := range skipped {
				if entry.Name() == name {
					return filepath.SkipDir
				}
			}
			return nil
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		source, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		d, err := parse(source)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		d.Path = path
		documents = append(documents, d)
		return nil
	})
	return documents, err
}

func parse(source []byte) (*Document, error) {
	markdown := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	root := markdown.Parser().Parse(text.NewReader(source))
	d := &Document{Anchors: map[string]bool{}}
	anchor := ""
	err := ast.Walk(root, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch node := node.(type) {
		case *ast.Link:
			d.Links = append(d.Links, string(node.Destination))
		case *ast.Image:
			d.Links = append(d.Links, string(node.Destination))
		case *ast.Heading:
			if id, ok := node.AttributeString("id"); ok {
				anchor = string(id.([]byte))
				d.Anchors[anchor] = true
			}
		case *ast.CodeSpan:
			var span strings.Builder
			for child := node.FirstChild(); child != nil; child = child.NextSibling() {
				if segment, ok := child.(*ast.Text); ok {
					span.Write(segment.Segment.Value(source))
				}
			}
			d.Code = append(d.Code, span.String())
		case *ast.FencedCodeBlock:
			b := block(node, source)
			b.Anchor = anchor
			d.Blocks = append(d.Blocks, b)
		}
		return ast.WalkContinue, nil
	})
	return d, err
}

func block(node *ast.FencedCodeBlock, source []byte) Block {
	b := Block{}
	if node.Info != nil {
		b.Info = string(node.Info.Segment.Value(source))
	}
	for i := range node.Lines().Len() {
		segment := node.Lines().At(i)
		if i == 0 {
			b.Line = 1 + strings.Count(string(source[:segment.Start]), "\n")
		}
		b.Lines = append(b.Lines, strings.TrimRight(string(segment.Value(source)), "\n"))
	}
	return b
}
