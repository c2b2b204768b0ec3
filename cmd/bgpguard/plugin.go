package main

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// kubectl runs the program pluginName of PATH for "kubectl bgpguard". It completes that command
// with the output of the program completeName, whose arguments are those that the user has typed:
// https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/.
const (
	programName  = "bgpguard"
	pluginName   = "kubectl-bgpguard"
	completeName = "kubectl_complete-bgpguard"
	pluginPath   = "kubectl bgpguard" // what the user types
)

// invocation returns the path of the root command in help, and the arguments of a process.
func invocation(argv []string) (path string, args []string) {
	args = argv[1:]
	switch strings.TrimSuffix(filepath.Base(argv[0]), ".exe") {
	case pluginName:
		return pluginPath, args
	case completeName:
		return pluginPath, append([]string{cobra.ShellCompRequestCmd}, args...)
	default:
		return programName, args
	}
}

// rename makes help and usage of all commands below root call the program by path.
func rename(root *cobra.Command, path string) {
	if path == root.Name() {
		return
	}
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: path}
	names := []string{"completion"}
	for _, cmd := range root.Commands() {
		names = append(names, cmd.Name())
	}
	call := regexp.MustCompile(`\b` + root.Name() + ` (` + strings.Join(names, "|") + `)\b`)
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, text := range []*string{&cmd.Short, &cmd.Long, &cmd.Example} {
			*text = call.ReplaceAllString(*text, path+" $1")
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
}
