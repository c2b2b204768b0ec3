package bird

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// programs are the programs of BIRD 1.6 for IPv4 and IPv6.
var programs = [2]string{"bird", "bird6"}

// daemon is one BIRD.
type daemon struct {
	speaker Speaker
	config  string // path
	socket  string
	log     string // path
	// unwritten is the error of confd if it writes no configuration.
	unwritten error
	process   *exec.Cmd // nil while it is not running
}

// newDaemon writes the configuration of a BIRD in dir.
func newDaemon(dir string, n *Node, f calico.Family) (*daemon, error) {
	base := filepath.Join(dir, n.Name+"."+programs[f])
	d := &daemon{speaker: Speaker{n.Name, f}, config: base + ".cfg", socket: base + ".ctl", log: base + ".log"}
	var config string
	config, d.unwritten = n.Config(f)
	return d, os.WriteFile(d.config, []byte(config), 0o600)
}

// rejected returns the error of confd or BIRD if there is no valid configuration, and "" otherwise. confd checks a file in the same way
// before it installs it (confd/pkg/resource/template/resource.go).
func (d *daemon) rejected() string {
	if d.unwritten != nil {
		return d.unwritten.Error()
	}
	out, err := exec.Command(programs[d.speaker.Family], "-p", "-c", d.config).CombinedOutput()
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%v: %s", err, bytes.TrimSpace(out))
}

// start starts the daemon in a namespace, in the foreground, so that it stays a child process. With recovery it starts
// with -R, as calico-node starts it.
func (d *daemon) start(namespace string, recovery bool) error {
	args := []string{"netns", "exec", namespace, programs[d.speaker.Family], "-f", "-c", d.config, "-s", d.socket, "-P", d.socket + ".pid"}
	if recovery {
		args = append(args, "-R")
	}
	log, err := os.Create(d.log)
	if err != nil {
		return err
	}
	defer log.Close()
	process := exec.Command("ip", args...) // ip replaces itself with BIRD; there is no second process.
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		return err
	}
	d.process = process
	return nil
}

// stop kills the daemon, if it runs, without a notification to its peers.
func (d *daemon) stop() {
	if d.process == nil {
		return
	}
	_ = d.process.Process.Kill() // It may have ended already.
	_ = d.process.Wait()
	d.process = nil
}

// failed adds the node, the program and the daemon's output to an error.
func (d *daemon) failed(err error) error {
	log, readErr := os.ReadFile(d.log)
	if readErr != nil {
		log = []byte(readErr.Error())
	}
	return fmt.Errorf("node %s, %s: %w; output: %s", d.speaker.Node, programs[d.speaker.Family], err, bytes.TrimSpace(log))
}
