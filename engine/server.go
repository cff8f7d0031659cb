// Package engine is the server: it puts the parts together and shows a request's way through them.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/endpoints/filters"

	"gatehouse/engine/config"
	"gatehouse/engine/controllers"
	"gatehouse/engine/logs"
	"gatehouse/engine/memory"
	"gatehouse/engine/pki"
)

const (
	// readHeaderTimeout and idleTimeout are upstream's, against clients that open connections and say nothing.
	readHeaderTimeout = 32 * time.Second
	idleTimeout       = 90 * time.Second
	// pingAfter and pingTimeout find out that a client has vanished without a word. Clients that ask the same do so every 30 seconds;
	// they need no asking.
	pingAfter   = 45 * time.Second
	pingTimeout = 15 * time.Second
	// writeTimeout is how long a connection may not take a single byte.
	writeTimeout = 30 * time.Second
	// maxStreams is how many requests one HTTP/2 connection may have under way: what clients assume before they are told.
	maxStreams = 100
	// streamWindow is how many bytes of one request's body may be under way; most bodies fit, so that they need no second
	// round trip.
	streamWindow = 256 << 10
)

// Server is one API server on one data directory.
type Server struct {
	config config.Config
	pki    *pki.Bundle
	logger *slog.Logger
	recent *logs.Ring
	parts  parts

	// notReady closes when the server takes no new work, informed when the informers that requests depend on have loaded.
	notReady, informed chan struct{}
	// watches is the context of requests that would never end by themselves, background that of what runs beside requests.
	watches, background         context.Context
	stopWatches, stopBackground context.CancelFunc
}

// New opens the data directory and builds a server on it, which serves nothing yet. ctx bounds the opening. recent is the end of
// the process's log, which is shown as that of the server's Pod. Unless Serve is called, Close must be.
func New(ctx context.Context, config config.Config, pki *pki.Bundle, logger *slog.Logger, recent *logs.Ring) (*Server, error) {
	s := &Server{config: config, pki: pki, logger: logger, recent: recent, notReady: make(chan struct{}), informed: make(chan struct{})}
	s.watches, s.stopWatches = context.WithCancel(context.Background())
	s.background, s.stopBackground = context.WithCancel(context.Background())
	if err := s.assemble(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// handler is a request's whole way, from the socket to storage, in the order in which it is gone.
func (s *Server) handler(endpoints http.Handler) http.Handler {
	return inOrder(endpoints,
		filters.WithAuditInit,
		recoverPanics,
		filters.WithRequestReceivedTimestamp,
		readRequestInfo,
		filters.WithCacheControl,
		endWatchesWith(s.watches),
		limitBodies(s.config.Requests.Timeout),
		deadline(s.config.Requests.Timeout),
		filters.WithWarningRecorder,
		authenticate(s.parts.authenticator, s.parts.identities.audiences, s.parts.identities.headers), // who are you?
		impersonate(s.parts.authorizer),
		limitInFlight(s.config.Requests.MaxInFlight, s.config.Requests.MaxMutatingInFlight),
		authorize(s.parts.authorizer), // what may you do?
		// is this write acceptable? Admission is asked inside of each, once its body is decoded: engine/api/verbs.go.
	)
}

// loopbackHandler is the way of the server's own requests: no credentials, no limits, and no end before the server's.
func (s *Server) loopbackHandler(endpoints http.Handler) http.Handler {
	return inOrder(endpoints,
		filters.WithAuditInit,
		recoverPanics,
		filters.WithRequestReceivedTimestamp,
		readRequestInfo,
		deadline(s.config.Requests.Timeout),
		filters.WithWarningRecorder,
		asServer,
		authorize(s.parts.authorizer),
	)
}

// Serve answers requests on listener until ctx ends, then drains: /readyz fails, watches end, requests under way are
// answered for as long as the configuration says, and what was accepted is on disk. It closes listener and the server.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server, loops, err := s.prepare(listener)
	if err != nil {
		listener.Close()
		return errors.Join(err, s.Close())
	}
	s.parts.informers.Start(s.background.Done())
	go s.waitInformed(s.parts.informers.WaitForCacheSync)
	go s.parts.admission.Prepare()
	loops.Start()
	go memory.Tend(s.background)
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(listener, "", "") }()

	select {
	case err = <-served:
		err = fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
		s.logger.Info("draining", "timeout", s.config.Shutdown.DrainTimeout)
	}
	s.drain(server, loops)
	return errors.Join(err, s.Close())
}

// waitInformed waits for the informers that have been started by now. Those that controllers ask for later, no request depends on.
func (s *Server) waitInformed(loaded func(stop <-chan struct{}) map[reflect.Type]bool) {
	loaded(s.background.Done())
	close(s.informed)
}

// checkInformed tells whether the informers that requests depend on have loaded. It is a health check.
func (s *Server) checkInformed(*http.Request) error {
	select {
	case <-s.informed:
		return nil
	default:
		return errors.New("informers have not loaded yet")
	}
}

// prepare builds what needs to know where the server listens, and lets the server reach itself.
func (s *Server) prepare(listener net.Listener) (*http.Server, *controllers.Loops, error) {
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return nil, nil, fmt.Errorf("serve on %s: not a TCP address", listener.Addr())
	}
	loops, err := s.newLoops(address.Port)
	if err != nil {
		return nil, nil, err
	}
	endpoints, err := s.newEndpoints(address.Port, loops)
	if err != nil {
		return nil, nil, err
	}
	s.parts.loopback.Serve(s.loopbackHandler(endpoints))
	return s.httpServer(s.handler(endpoints)), loops, nil
}

func (s *Server) httpServer(handler http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // for clients' upgrades to SPDY and websocket, which HTTP/2 has no answer to
	protocols.SetHTTP2(true)
	tlsConfig := s.tlsConfig()
	// Small records at the beginning help browsers far away; here they cost a system call each.
	tlsConfig.DynamicRecordSizingDisabled = true
	return &http.Server{
		Handler:           handler,
		TLSConfig:         tlsConfig,
		Protocols:         protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		// An answer may take as long to be sent as to be made. Whoever does not read it holds no handler for longer.
		WriteTimeout: 2 * s.config.Requests.Timeout,
		ErrorLog:     slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: streamWindow * maxStreams,
			SendPingTimeout:               pingAfter,
			PingTimeout:                   pingTimeout,
			WriteByteTimeout:              writeTimeout,
		},
	}
}

// drain ends what is under way, in the order in which clients are hurt least.
func (s *Server) drain(server *http.Server, loops *controllers.Loops) {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Shutdown.DrainTimeout)
	defer cancel()
	close(s.notReady)
	s.stopWatches()
	var stopping sync.WaitGroup
	stopping.Go(func() {
		if err := loops.Stop(ctx); err != nil {
			s.logger.Warn("controllers did not stop in time", "error", err)
		}
	})
	if err := server.Shutdown(ctx); err != nil {
		// What they were about is either on disk or was never acknowledged; that they were cut off is no failure to stop.
		s.logger.Warn("cut off requests that were still under way", "after", s.config.Shutdown.DrainTimeout)
		server.Close()
	}
	stopping.Wait()
}

// Close releases the data directory. Only a server that never served needs it called.
func (s *Server) Close() error {
	s.stopWatches()
	s.stopBackground()
	return s.parts.close()
}
