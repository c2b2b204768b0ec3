package author

import (
	"slices"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

// Loaded contains the policies of a directory or of the tarball of a bundle.
type Loaded struct {
	Source policy.Source
	// Library contains the policies. They replace policies of the same name,
	// because they may be a working copy of the built-in library.
	Library *policy.Library
	// Definitions are the policies, in order of their names.
	Definitions []*policy.Definition
}

// Load reads the policies at path and adds them to a library. Errors name the path.
func Load(library *policy.Library, path string) (*Loaded, error) {
	source, err := policy.SourceFromPath(path)
	if err != nil {
		return nil, err
	}
	return add(library, source)
}

// add adds the policies of a source to a library. Its error is a *compileError.
func add(library *policy.Library, source policy.Source) (*Loaded, error) {
	library, err := library.With(source)
	if err != nil {
		return nil, &compileError{source, err}
	}
	own := slices.DeleteFunc(library.Definitions(), func(d *policy.Definition) bool { return d.Source != source.Name })
	return &Loaded{source, library, own}, nil
}

// compileError is the error of a source whose policies do not compile.
type compileError struct {
	source policy.Source
	err    error
}

// Error names the source.
func (e *compileError) Error() string { return e.source.Named(e.err).Error() }

// Unwrap returns the error, without the source.
func (e *compileError) Unwrap() error { return e.err }
