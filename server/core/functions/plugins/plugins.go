package plugins

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"crema/server/base/fault"
	"crema/server/core/functions/workers"
	"crema/server/lambda"
)

// Plugin is one process that serves functions.
type Plugin struct {
	Name string // as the operator calls it
	URL  string // of all its calls
}

// Config is what the service works with.
type Config struct {
	Plugins  []Plugin
	Settings json.RawMessage // what events of their life tell, {"config": {...}}; nil: {}
	DevMode  bool            // errors tell where they happened

	// Install puts these functions in the place of all that plugins have offered before. Calls come one at a
	// time, and only between Start and Stop.
	Install func(context.Context, []lambda.Function) error

	Timeout time.Duration // for the answer to an event; 0: 60 s
	Pause   time.Duration // between two attempts, and between looks at whether a plugin is there; 0: 2 s
	Tries   int           // of init; 0: 100
	Log     *slog.Logger  // nil: the default logger
}

// Service knows the plugins of one app. It is safe for concurrent use.
type Service struct {
	c       Config
	client  *http.Client
	plugins []*plugin
	state   atomic.Int32
	tasks   sync.WaitGroup

	life   sync.Mutex // held while something moves on for all plugins; guards configured
	mu     sync.Mutex // guards what plugins have registered, and the rest
	ctx    context.Context
	cancel context.CancelFunc // nil before Start and after Stop
}

// The states that all plugins have reached.
const (
	unavailable int32 = iota
	initialised       // they have told what they offer
	ready
)

// plugin is one of them.
type plugin struct {
	Plugin
	address    string        // host and port
	lost       chan struct{} // holds one: a call did not get through
	registered *workers.Registered
	configured bool // it has taken after-config, and waits for the others or goes on with them
}

// idle is how long a connection without calls is kept: less than Node does, so that no call meets a closing one.
const idle = 3 * time.Second

// New returns a service that has asked nobody yet. Without plugins it is ready.
func New(c Config) (*Service, error) {
	c.Timeout, c.Pause, c.Tries = cmp.Or(c.Timeout, time.Minute), cmp.Or(c.Pause, 2*time.Second), cmp.Or(c.Tries, 100)
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Settings == nil {
		c.Settings = json.RawMessage("{}")
	}
	s := &Service{c: c, client: &http.Client{
		Transport:     &http.Transport{IdleConnTimeout: idle, MaxIdleConnsPerHost: 64, DialContext: new(net.Dialer).DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, p := range c.Plugins {
		address, err := addressOf(p.URL)
		if err != nil {
			return nil, err
		}
		s.plugins = append(s.plugins, &plugin{Plugin: p, address: address, lost: make(chan struct{}, 1)})
	}
	if len(s.plugins) == 0 {
		s.state.Store(ready)
	}
	return s, nil
}

// Start begins the life of all plugins, each beside the others, and returns at once.
func (s *Service) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	s.ctx, s.cancel = ctx, cancel
	for _, p := range s.plugins {
		s.tasks.Go(func() { s.follow(ctx, p) })
	}
}

// Stop tells the plugins nothing more and returns when nobody speaks to them but the calls that run.
func (s *Service) Stop() {
	s.mu.Lock()
	cancel := s.cancel
	s.cancel = nil
	s.mu.Unlock()
	if cancel != nil {
		cancel()
		s.tasks.Wait()
	}
	s.client.CloseIdleConnections()
}

// Announce tells all plugins that are there an event, each beside the others and beside the caller.
func (s *Service) Announce(event string, data json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel == nil {
		return
	}
	ctx := s.ctx
	for _, p := range s.plugins {
		if p.registered != nil {
			s.tasks.Go(func() { s.event(ctx, p, event, data) })
		}
	}
}

// Ready refuses requests until all plugins are ready: plugins.unavailable before all have told what they offer,
// then plugins.initializing for everybody but the plugins, who hold the master key and say so. Wire: skygear §4.3.
func (s *Service) Ready(master, fromPlugin bool) error {
	switch state := s.state.Load(); {
	case state == ready, state == initialised && master && fromPlugin:
		return nil
	case state == initialised:
		return soon(fault.New(fault.Initializing, "plugins.initializing", "the plugins are getting ready; try again in a moment"), s.c.Pause)
	}
	return soon(fault.New(fault.Unavailable, "plugins.unavailable", "the plugins have not been reached yet; try again in a moment"), s.c.Pause)
}

func soon(f *fault.Error, after time.Duration) error {
	f.RetryAfter = after
	return f
}
