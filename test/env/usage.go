package env

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Memory is what the kernel counts for a process, in KiB.
type Memory struct {
	// Resident is the resident memory now, Peak the largest in the life of the process.
	Resident, Peak int
}

// Memory returns the memory of the process.
func (p *Process) Memory() (Memory, error) {
	path := fmt.Sprintf("/proc/%d/status", p.Pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return Memory{}, err
	}
	var memory Memory
	for name, to := range map[string]*int{"VmRSS:": &memory.Resident, "VmHWM:": &memory.Peak} {
		_, line, _ := strings.Cut(string(text), name)
		if _, err := fmt.Sscan(line, to); err != nil {
			return Memory{}, fmt.Errorf("%s: %s %w", path, name, err)
		}
	}
	return memory, nil
}

// CPU returns the CPU time that the threads of the process have used, to the nanosecond. The time of threads that have ended is
// not in it; the threads of a Go process rarely end.
func (p *Process) CPU() (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.Pid))
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if os.IsNotExist(err) { // The thread has ended since.
			continue
		}
		if err != nil {
			return 0, err
		}
		// The first number is the time on a CPU; see Documentation/scheduler/sched-stats.rst of Linux.
		first, _, _ := strings.Cut(string(text), " ")
		nanoseconds, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		total += time.Duration(nanoseconds)
	}
	if total == 0 {
		return 0, fmt.Errorf("the %s, process %d, has used no CPU time: it does not run", p.name, p.Pid)
	}
	return total, nil
}

// Metric returns the value of the metric whose line begins with prefix. The token is that of MetricsToken.
func (w *Webhook) Metric(ctx context.Context, token, prefix string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.MetricsURL, http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // It is on loopback.
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), prefix); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("%s: no metric %s", response.Status, prefix)
}
