package manifest

import (
	"fmt"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// TagError is a YAML tag where text was meant: YAML reads an unquoted ! at the start of a value as
// a tag and not as part of the value, so that the selector !has(x) is empty.
type TagError struct {
	// Field is the path of the field, for example "spec.nodeSelector".
	Field string
	// File and Line are the place of the tag.
	File string
	Line int
	// Text is the tag, for example "!has(x)".
	Text string
	// Value is the value without the tag.
	Value string
}

// Error returns "file:line: field: what is wrong".
func (t *TagError) Error() string {
	return fmt.Sprintf("%s:%d: %s: %s", t.File, t.Line, t.Field, t.Message())
}

// Message says what is wrong and what to write.
func (t *TagError) Message() string {
	value := "empty"
	if t.Value != "" {
		value = strconv.Quote(t.Value)
	}
	return fmt.Sprintf("the value is %s, because an unquoted ! starts a YAML tag (%s); write it in quotes: %q",
		value, t.Text, strings.TrimSpace(t.Text+" "+t.Value))
}

// Tags returns the values with a tag that is not one of YAML's own, in the order of the text.
// The tag of an alias is returned where the alias stands for the value.
func (d *Document) Tags() []TagError {
	var out []TagError
	d.tags(d.node, "", 0, &out)
	return out
}

func (d *Document) tags(n *yamlv3.Node, path string, depth int, out *[]TagError) {
	const deepest = 100 // Objects of Kubernetes are far less deep.
	if n == nil || depth > deepest || len(*out) > deepest {
		return
	}
	switch n.Kind {
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if strings.ContainsAny(key, ".[]") {
				key = "[" + key + "]"
			} else if path != "" {
				key = "." + key
			}
			d.tags(n.Content[i+1], path+key, depth+1, out)
		}
	case yamlv3.SequenceNode:
		for i, item := range n.Content {
			d.tags(item, path+"["+strconv.Itoa(i)+"]", depth+1, out)
		}
	case yamlv3.AliasNode:
		if n.Alias != nil && n.Alias.Kind == yamlv3.ScalarNode { // Others may be large.
			d.tags(n.Alias, path, depth+1, out)
		}
	case yamlv3.ScalarNode:
		if len(n.Tag) > 1 && n.Tag[0] == '!' && n.Tag[1] != '!' {
			*out = append(*out, TagError{Field: path, File: d.File, Line: n.Line + d.offset, Text: n.Tag, Value: n.Value})
		}
	}
}
