package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// memory is what the kernel counts for a process, in MiB.
type memory struct{ resident, peak float64 }

func readMemory(pid int) (memory, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return memory{}, err
	}
	fields := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kib, isSize := strings.CutSuffix(strings.TrimSpace(value), " kB")
		if !isSize {
			continue
		}
		size, err := strconv.ParseFloat(kib, 64)
		if err != nil {
			return memory{}, fmt.Errorf("%s: %s: %w", path, name, err)
		}
		fields[name] = size / 1024
	}
	return memory{resident: fields["VmRSS"], peak: fields["VmHWM"]}, nil
}
