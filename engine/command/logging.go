package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/term"
	"k8s.io/klog/v2"

	"gatehouse/engine/config"
)

// klogDebug is the verbosity of upstream's packages at level debug. Four is what Kubernetes calls "debug level"; klog's
// verbosities are slog's negative levels, so that it is also the least severe that passes the logger.
const klogDebug = 4

// newLogger logs to w as configured, and the same lines to besides.
func newLogger(w io.Writer, besides io.Writer, how config.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: how.Level, ReplaceAttr: spellDuration}
	both := io.MultiWriter(besides, w) // in this order: when nobody takes what is written to w, it can still be looked up
	if how.Format == config.LogText || how.Format == config.LogAuto && isTerminal(w) {
		return slog.New(slog.NewTextHandler(both, options))
	}
	return slog.New(slog.NewJSONHandler(both, options))
}

// spellDuration writes durations as people do: JSON's are nanoseconds otherwise.
func spellDuration(_ []string, attr slog.Attr) slog.Attr {
	if attr.Value.Kind() == slog.KindDuration {
		attr.Value = slog.StringValue(attr.Value.Duration().String())
	}
	return attr
}

func isTerminal(w io.Writer) bool {
	if held, ok := w.(*heldWriter); ok {
		w = held.to
	}
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// adoptLibraries makes what others log in this process part of our log: the standard library's log and slog, and klog,
// which upstream's packages use. All of that is the process's; a program that embeds the server does as it likes.
func adoptLibraries(logger *slog.Logger, level slog.Level) error {
	slog.SetDefault(logger)
	klog.SetSlogLogger(slog.New(backstage{logger.With("part", "kubernetes").Handler()}))
	verbosity := 0
	if level <= slog.LevelDebug {
		verbosity = klogDebug
	}
	if err := new(klog.Level).Set(strconv.Itoa(verbosity)); err != nil {
		return fmt.Errorf("cannot set the verbosity of upstream's packages: %w", err)
	}
	return nil
}

// backstage is the handler of upstream's packages. What they consider worth telling, such as each controller's start, is
// detail to whoever runs the server: it becomes debug. Errors stay errors, but for those that say no more than that the other
// side of a connection has gone, with which every exec and port-forward ends.
type backstage struct {
	slog.Handler
}

func lowered(level slog.Level) slog.Level {
	if level == slog.LevelInfo {
		return slog.LevelDebug
	}
	return level
}

func (b backstage) Enabled(ctx context.Context, level slog.Level) bool {
	return b.Handler.Enabled(ctx, lowered(level))
}

func (b backstage) Handle(ctx context.Context, record slog.Record) error {
	record.Level = lowered(record.Level)
	if record.Level == slog.LevelError && tellsOfLeaving(record) {
		record.Level = slog.LevelDebug
	}
	if !b.Handler.Enabled(ctx, record.Level) {
		return nil
	}
	return b.Handler.Handle(ctx, record)
}

// tellsOfLeaving says whether a record's error is that of a connection that has ended.
func tellsOfLeaving(record slog.Record) bool {
	left := false
	record.Attrs(func(attr slog.Attr) bool {
		if err, ok := attr.Value.Any().(error); ok {
			left = errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
		}
		return !left
	})
	return left
}

func (b backstage) WithAttrs(attrs []slog.Attr) slog.Handler {
	return backstage{b.Handler.WithAttrs(attrs)}
}

func (b backstage) WithGroup(name string) slog.Handler { return backstage{b.Handler.WithGroup(name)} }
