package policy

import (
	"fmt"
	"runtime/debug"
)

// PanicError is the evaluation error of a policy whose evaluation panicked.
type PanicError struct {
	// Value is the argument of the panic.
	Value any
	// Stack is the stack of the goroutine that panicked.
	Stack []byte
}

// Error returns the argument of the panic, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panicked: %v", e.Value) }

// recovered returns the error for the result of recover. The deferred function that calls
// recover must call it.
func recovered(value any) error { return &PanicError{Value: value, Stack: debug.Stack()} }
