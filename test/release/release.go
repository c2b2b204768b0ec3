// Package release tests what `make release` builds: the same commit gives the same bytes, and the images hold what the
// Dockerfile says.
package release
