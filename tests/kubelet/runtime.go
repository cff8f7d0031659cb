package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"time"

	utilexec "k8s.io/utils/exec"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

const (
	// streamIdle and streamCreation are the runtime library's own.
	streamIdle     = 4 * time.Hour
	streamCreation = remotecommand.DefaultStreamCreationTimeout
)

// streams is the runtime's server.
func (k *Kubelet) streams() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeExec(w, r, container{}, r.PathValue("pod"), "", r.PathValue("container"), r.URL.Query()["command"], options,
			streamIdle, streamCreation, remotecommand.SupportedStreamingProtocols)
	})
	mux.HandleFunc("/attach/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeAttach(w, r, container{}, r.PathValue("pod"), "", r.PathValue("container"), options,
			streamIdle, streamCreation, remotecommand.SupportedStreamingProtocols)
	})
	mux.HandleFunc("/portForward/{namespace}/{pod}", func(w http.ResponseWriter, r *http.Request) {
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, container{}, r.PathValue("pod"), "", options, streamIdle, streamCreation,
			portforward.SupportedProtocols)
	})
	return mux
}

// container runs on this machine, without walls.
type container struct{}

var (
	_ remotecommand.Executor    = container{}
	_ remotecommand.Attacher    = container{}
	_ portforward.PortForwarder = container{}
)

// ExecInContainer implements remotecommand.Executor. With a terminal, of which there is none here, it tells the sizes that the
// client's has, until it hears of one that is a column wide.
func (container) ExecInContainer(ctx context.Context, _, _, _ string, command []string, in io.Reader, out, err io.WriteCloser,
	tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	if tty {
		for size := range resize {
			if _, err := fmt.Fprintf(out, "%dx%d\n", size.Width, size.Height); err != nil || size.Width == 1 {
				return err
			}
		}
		return nil
	}
	process := exec.CommandContext(ctx, command[0], command[1:]...)
	process.Stdout, process.Stderr = writer(out), writer(err)
	var stdin io.WriteCloser
	if in != nil {
		var failure error
		if stdin, failure = process.StdinPipe(); failure != nil {
			return failure
		}
	}
	if failure := process.Start(); failure != nil {
		return failure
	}
	if stdin != nil {
		go func() { // it ends with the client's stream
			defer stdin.Close()
			_, _ = io.Copy(stdin, in)
		}()
	}
	failure := process.Wait()
	var exited *exec.ExitError
	if errors.As(failure, &exited) {
		return utilexec.CodeExitError{Err: failure, Code: exited.ExitCode()}
	}
	return failure
}

// writer keeps a nil stream from becoming an interface that is not nil.
func writer(stream io.WriteCloser) io.Writer {
	if stream == nil {
		return nil
	}
	return stream
}

// AttachContainer implements remotecommand.Attacher: the container greets, and repeats what it is told.
func (container) AttachContainer(_ context.Context, _, _, name string, in io.Reader, out, _ io.WriteCloser, _ bool,
	_ <-chan remotecommand.TerminalSize) error {
	if _, err := fmt.Fprintf(out, "attached to %s\n", name); err != nil || in == nil {
		return err
	}
	_, err := io.Copy(out, in)
	return err
}

// PortForward implements portforward.PortForwarder.
func (container) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer connection.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(connection, stream) // a connection that breaks off is the client's to notice
		_ = connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	_ = stream.Close()
	<-sent
	return err
}
