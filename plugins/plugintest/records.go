package plugintest

import (
	"context"
	"log/slog"
	"strings"
	"sync"
)

// records is a slog.Handler that keeps messages as vectors have them. The zero value is ready.
type records struct {
	mu   sync.Mutex // guards kept
	kept []logged
}

// Enabled implements slog.Handler: everything is kept.
func (r *records) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (r *records) Handle(_ context.Context, record slog.Record) error {
	level := strings.ToLower(record.Level.String())
	if record.Level == slog.LevelWarn {
		level = "warning"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, logged{Level: level, Text: record.Message})
	return nil
}

// WithAttrs implements slog.Handler; attributes are the host's.
func (r *records) WithAttrs([]slog.Attr) slog.Handler { return r }

// WithGroup implements slog.Handler.
func (r *records) WithGroup(string) slog.Handler { return r }

func (r *records) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = nil
}

func (r *records) all() []logged {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept
}
