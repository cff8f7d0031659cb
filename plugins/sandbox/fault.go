package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero/sys"

	"gatehouse/plugins/meter"
)

// ErrClosed answers a call on a module that is being closed. The call never reached a guest: it may be made again on
// the module's successor.
var ErrClosed = errors.New("the module is closed")

// FaultKind says in one word how a guest failed; it is stable, fit for a metric's label.
type FaultKind string

const (
	// Rejected: the bytes are no module this host can run (no wasm, wrong exports, unknown imports, over a limit).
	Rejected FaultKind = "rejected"
	// Trapped: the guest executed a trap, overflowed its stack or exited.
	Trapped FaultKind = "trapped"
	// Overdue: the guest ran into its deadline.
	Overdue FaultKind = "overdue"
	// Misaddressed: the guest handed out a pointer that does not lie within its memory.
	Misaddressed FaultKind = "misaddressed"
	// Oversized: the guest's answer exceeds its output limit.
	Oversized FaultKind = "oversized"
	// Garbled: the guest's answer cannot be understood.
	Garbled FaultKind = "garbled"
	// Refused: the guest itself says that it cannot serve (bad settings, no memory for the payload).
	Refused FaultKind = "refused"
	// Busy: no instance became free in time.
	Busy FaultKind = "busy"
)

// Fault is a guest's failure, as opposed to its verdict. Its message is one line, fit for a client's eyes: it names the
// cause and nothing of the server.
type Fault struct {
	Kind  FaultKind
	Cause string
	// Quote is what a parser adds to the cause, which may quote the request: fit for whoever has sent that, and nobody else. May be
	// empty.
	Quote string
	// Detail is what only the log should hold: a guest's stack trace, the first lines it wrote to stderr. May be empty.
	Detail string
}

func (f *Fault) Error() string {
	if f.Quote == "" {
		return f.Cause
	}
	return f.Cause + ": " + f.Quote
}

func faultf(kind FaultKind, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Cause: fmt.Sprintf(format, args...)}
}

// Garbledf makes the fault of an answer that cannot be understood, for those who read answers.
func Garbledf(format string, args ...any) error {
	return faultf(Garbled, format, args...)
}

// runFault tells why a guest's function did not return. ctx is the one the function ran under, limit the time it had.
func runFault(ctx context.Context, err error, doing string, limit fmt.Stringer) *Fault {
	// The guest's clock decides, not the form of the error: a host function interrupted by the deadline panics its own.
	if errors.Is(err, meter.ErrOverdue) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return faultf(Overdue, "%s: deadline of %s exceeded", doing, limit)
	}
	var fault *Fault
	if errors.As(err, &fault) {
		return &Fault{Kind: fault.Kind, Cause: doing + ": " + fault.Cause, Quote: fault.Quote, Detail: fault.Detail}
	}
	var exit *sys.ExitError
	if errors.As(err, &exit) {
		return faultf(Trapped, "%s: the guest exited with code %d", doing, exit.ExitCode())
	}
	first, rest, _ := strings.Cut(err.Error(), "\n")
	cause := strings.TrimSuffix(first, " (recovered by wazero)")
	if _, after, found := strings.Cut(cause, "wasm error: "); found {
		cause = after
	}
	return &Fault{Kind: Trapped, Cause: fmt.Sprintf("%s: the guest trapped: %s", doing, cause), Detail: rest}
}
