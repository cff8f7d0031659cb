package sandbox

import (
	"context"
	"log/slog"
	"strings"
	"unicode"
)

const (
	// outputBudget bounds what one call may add to the log, for stdout, stderr and log each.
	outputBudget = 16 << 10
	// lastWordsMax bounds what of stderr is put into a fault's message.
	lastWordsMax = 200
)

// output carries what a guest says into the log, bounded for each call: a chatty guest must not fill a disk.
type output struct {
	logger         *slog.Logger
	stdout, stderr text
	// logged counts the bytes log has been given in the call under way, unlogged those beyond the budget.
	logged, unlogged int
}

// text keeps the beginning of what is written to it, and counts the rest.
type text struct {
	kept    []byte
	dropped int
}

// Write never fails: a guest cannot learn that nobody listens.
func (t *text) Write(p []byte) (int, error) {
	room := min(outputBudget-len(t.kept), len(p))
	t.kept = append(t.kept, p[:room]...)
	t.dropped += len(p) - room
	return len(p), nil
}

// log passes one message of the guest on.
func (o *output) log(level slog.Level, message []byte) {
	if o.logged+len(message) > outputBudget {
		o.unlogged += len(message)
		return
	}
	o.logged += len(message)
	o.logger.Log(context.Background(), level, printable(message, outputBudget))
}

// flush ends a call: what was written becomes a record a stream, and counting begins anew.
func (o *output) flush() {
	o.stdout.flush(o.logger, slog.LevelInfo, "the guest wrote to stdout")
	o.stderr.flush(o.logger, slog.LevelWarn, "the guest wrote to stderr")
	if o.unlogged > 0 {
		o.logger.Warn("the guest logged too much in one call", "budget", outputBudget, "dropped", o.unlogged)
	}
	o.logged, o.unlogged = 0, 0
}

func (t *text) flush(logger *slog.Logger, level slog.Level, message string) {
	if len(t.kept) == 0 {
		return
	}
	attrs := []slog.Attr{slog.String("output", strings.ToValidUTF8(string(t.kept), "\uFFFD"))}
	if t.dropped > 0 {
		attrs = append(attrs, slog.Int("dropped", t.dropped))
	}
	logger.LogAttrs(context.Background(), level, message, attrs...)
	*t = text{kept: t.kept[:0]}
}

// lastWords is the first line of stderr: languages print their panic there, then a trace.
func (o *output) lastWords() string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(o.stderr.kept)), "\n")
	return printable([]byte(line), lastWordsMax)
}

// printable makes a guest's text fit for one line of a log or of an error.
func printable(b []byte, limit int) string {
	cut := len(b) > limit
	if cut {
		b = b[:limit]
	}
	s := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(b), "\uFFFD"))
	if cut {
		s += "…"
	}
	return strings.TrimSpace(s)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
