package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/metrics"
	"syscall"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

const (
	// maxHeap bounds the heap of a trial, in bytes. The process ends itself when it finds more.
	maxHeap = 64 << 20
	// maxData bounds the memory that the kernel gives it, for an allocation that is larger than
	// the rest. The Go runtime takes it in steps of 64 MiB, and needs some for itself.
	maxData = 256 << 20
	// watchInterval is the time between two looks at the heap.
	watchInterval = 2 * time.Millisecond
	// codeMemory is the exit code of a process that exceeds maxHeap.
	codeMemory = 3
)

// Main is the process of a trial: it reads a request, and writes the result. It returns the
// exit code.
func Main(in io.Reader, out io.Writer) int {
	if err := limitMemory(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var q request
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		fmt.Fprintln(os.Stderr, "reading the request:", err)
		return 1
	}
	if err := lower(syscall.RLIMIT_CPU, uint64(q.Time/time.Second)+1); err != nil {
		fmt.Fprintln(os.Stderr, "limiting the CPU time:", err)
		return 1
	}
	if err := json.NewEncoder(out).Encode(try(context.Background(), &q)); err != nil {
		fmt.Fprintln(os.Stderr, "writing the result:", err)
		return 1
	}
	return 0
}

// limitMemory limits the memory of this process.
func limitMemory() error {
	if err := lower(syscall.RLIMIT_DATA, maxData); err != nil {
		return fmt.Errorf("limiting the memory: %w", err)
	}
	go func() {
		heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for range time.Tick(watchInterval) {
			metrics.Read(heap)
			if heap[0].Value.Uint64() > maxHeap {
				os.Exit(codeMemory)
			}
		}
	}()
	return nil
}

// lower sets a limit of this process, unless it has a lower one. The kernel ends a process that
// uses more CPU time than its limit.
func lower(resource int, limit uint64) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(resource, &now); err != nil {
		return err
	}
	limit = min(limit, now.Max)
	return syscall.Setrlimit(resource, &syscall.Rlimit{Cur: limit, Max: limit})
}

// try runs the trial of a request.
func try(ctx context.Context, q *request) *result {
	var object map[string]any
	if err := json.Unmarshal(q.Document, &object); err != nil {
		return &result{Error: err.Error(), Unusable: true}
	}
	d, err := policy.Decode(object)
	if err != nil {
		return &result{Error: err.Error(), Unusable: true}
	}
	// The document has Rego of its own, so it names no policy of a library, which would take longer
	// to compile than the document.
	p, err := (&policy.Library{}).Prepare(&d)
	if err != nil {
		return &result{Error: err.Error(), Unusable: true}
	}
	if q.Input == nil {
		err := p.Test(ctx, q.Limit)
		if err == nil {
			return &result{}
		}
		_, slow := errors.AsType[*policy.LimitError](err)
		return &result{Error: err.Error(), TooSlow: slow}
	}
	return evaluate(ctx, p, q)
}

// evaluate evaluates a policy on the input of a request.
func evaluate(ctx context.Context, p *policy.Policy, q *request) *result {
	input, err := ast.ValueFromReader(bytes.NewReader(q.Input))
	if err != nil {
		return &result{Error: err.Error()}
	}
	object, ok := input.(ast.Object)
	if !ok {
		return &result{Error: "the input is no object"}
	}
	state := ast.Value(ast.NewObject())
	if q.State != nil {
		if state, err = ast.ValueFromReader(bytes.NewReader(q.State)); err != nil {
			return &result{Error: err.Error()}
		}
	}
	violations, err := p.Evaluate(ctx, object, func() ast.Value { return state })
	if err != nil {
		return &result{Error: err.Error()}
	}
	return &result{Violations: violations}
}
