package engine

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"gatehouse/engine/logs"
	"gatehouse/engine/pki"
)

// TestAClientThatVanishesIsFoundOut has a client begin a watch and then do nothing any more: as one whose machine has lost its power,
// nothing of what comes is answered, and no connection is closed. Time is the test's own. Each way to find out stands alone.
func TestAClientThatVanishesIsFoundOut(t *testing.T) {
	config := testConfig(t, t.TempDir())
	bundle, err := pki.Ensure(pki.Request{DataDir: config.DataDir, ServerURL: "https://127.0.0.1:1", ServiceCIDRs: config.Services.CIDRs})
	if err != nil {
		t.Fatal(err)
	}
	server, err := New(t.Context(), config, bundle, testLogger(t), logs.NewRing(config.Log.Kept))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, test := range []struct {
		name string
		// only leaves one of the server's timeouts.
		only func(*http.Server)
		// writes says that the server has something to send, which then nobody takes.
		writes bool
	}{
		{"by a ping, if there is nothing to send", func(s *http.Server) { s.HTTP2.WriteByteTimeout = 0 }, false},
		{"by what it does not take", func(s *http.Server) { s.HTTP2.SendPingTimeout = 0 }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun, ended := make(chan struct{}), make(chan struct{})
				endpoint := server.httpServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer close(ended)
					close(begun)
					for piece := make([]byte, 16<<10); test.writes; {
						if _, err := w.Write(piece); err != nil {
							return
						}
					}
					<-r.Context().Done()
				}))
				endpoint.WriteTimeout, endpoint.IdleTimeout = 0, 0
				test.only(endpoint)
				here, there := net.Pipe()
				served := make(chan error, 1)
				go func() { served <- endpoint.ServeTLS(newOneConnection(there), "", "") }()

				client := tls.Client(here, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
				if err := client.Handshake(); err != nil {
					t.Fatal(err)
				}
				vanish := make(chan struct{})
				taking := sync.WaitGroup{}
				taking.Go(func() { take(client, test.writes, vanish) })
				if _, err := client.Write(watchRequest(t)); err != nil {
					t.Fatal(err)
				}
				<-begun
				close(vanish)
				<-ended // or nothing in this bubble would ever happen again, which fails the test

				here.Close()
				taking.Wait()
				if err := endpoint.Close(); err != nil {
					t.Error(err)
				}
				if err := <-served; err != http.ErrServerClosed {
					t.Error(err)
				}
			})
		})
	}
}

// take reads what comes, for a network that takes it, and tells nobody. With full, it takes nothing any more after vanish.
func take(from io.Reader, full bool, vanish <-chan struct{}) {
	for buffer := make([]byte, 1<<10); ; {
		if _, err := from.Read(buffer); err != nil {
			return
		}
		select {
		case <-vanish:
			if full {
				return
			}
		default:
		}
	}
}

// watchRequest is all that an HTTP/2 client says to begin a watch.
func watchRequest(t *testing.T) []byte {
	t.Helper()
	var said, headers bytes.Buffer
	said.WriteString(http2.ClientPreface)
	encoder := hpack.NewEncoder(&headers)
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "server"}, {":path", "/api/v1/pods?watch=true"}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			t.Fatal(err)
		}
	}
	framer := http2.NewFramer(&said, nil)
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: headers.Bytes(), EndStream: true, EndHeaders: true,
	}); err != nil {
		t.Fatal(err)
	}
	return said.Bytes()
}

// oneConnection is a listener to which one client has come.
type oneConnection struct {
	connections chan net.Conn
	closed      chan struct{}
	closing     sync.Once
}

func newOneConnection(c net.Conn) *oneConnection {
	l := &oneConnection{connections: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.connections <- c
	return l
}

func (l *oneConnection) Accept() (net.Conn, error) {
	select {
	case c := <-l.connections:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConnection) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return nil
}

func (l *oneConnection) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
