package plugins

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"slices"
	"time"

	"crema/server/base/fault"
	"crema/server/core/functions/workers"
	"crema/server/lambda"
)

// follow takes a plugin through its life, again each time that it comes back. Wire: skygear §4.3.
func (s *Service) follow(ctx context.Context, p *plugin) {
	for ctx.Err() == nil {
		s.event(ctx, p, "before-config", s.c.Settings)
		if s.initialise(ctx, p) {
			s.event(ctx, p, "after-config", s.c.Settings)
			s.advance(ctx, p)
		}
		s.awaitRestart(ctx, p)
		s.life.Lock()
		p.configured = false
		s.life.Unlock()
	}
}

// event tells a plugin something. What it answers does not matter.
func (s *Service) event(ctx context.Context, p *plugin, name string, data json.RawMessage) {
	if _, err := s.ask(ctx, p, name, data); err != nil && ctx.Err() == nil {
		s.c.Log.DebugContext(ctx, "a plugin did not take an event", "plugin", p.Name, "event", name, "error", err.Error())
	}
}

func (s *Service) ask(ctx context.Context, p *plugin, event string, data json.RawMessage) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	return s.call(ctx, p, workers.Event, event, data, workers.Caller{})
}

// initialise asks a plugin what it offers until it tells, and makes that live.
func (s *Service) initialise(ctx context.Context, p *plugin) bool {
	for try := 1; try <= s.c.Tries; try++ {
		r, err := s.offered(ctx, p)
		if err == nil {
			if err = s.register(ctx, p, r); err == nil {
				select {
				case <-p.lost: // it was not there before
				default:
				}
				return true
			}
		}
		if ctx.Err() != nil {
			return false
		}
		level := slog.LevelDebug
		if try == 1 || try == s.c.Tries {
			level = slog.LevelWarn
		}
		s.c.Log.Log(ctx, level, "a plugin does not tell what it offers yet", "plugin", p.Name, "attempt", try, "of", s.c.Tries, "error", err.Error())
		if try < s.c.Tries && !pause(ctx, s.c.Pause) {
			return false
		}
	}
	s.c.Log.ErrorContext(ctx, "a plugin was given up until it comes back; see to it that it listens at its PATH", "plugin", p.Name)
	return false
}

// offered asks what a plugin offers.
func (s *Service) offered(ctx context.Context, p *plugin) (*workers.Registered, error) {
	result, err := s.ask(ctx, p, "init", s.c.Settings)
	if err != nil {
		return nil, err
	}
	var r *workers.Registered
	if err := json.Unmarshal(result, &r); err != nil || r == nil {
		return nil, fault.Wrap(err, fault.Internal, "plugins.bad_answer", "the plugin %s did not tell what it offers", p.Name)
	}
	return r, nil
}

// register makes what a plugin offers live, beside what the others do.
func (s *Service) register(ctx context.Context, p *plugin, r *workers.Registered) error {
	s.life.Lock()
	defer s.life.Unlock()
	s.mu.Lock()
	old := p.registered
	p.registered = r
	s.mu.Unlock()
	if err := s.c.Install(ctx, s.functions()); err != nil {
		s.mu.Lock()
		p.registered = old
		s.mu.Unlock()
		return err
	}
	s.c.Log.InfoContext(ctx, "a plugin told what it offers", "plugin", p.Name, "lambdas", len(r.Ops), "handlers", len(r.Handlers),
		"hooks", len(r.Hooks), "timers", len(r.Timers), "providers", len(r.Providers))
	return nil
}

// functions are what all plugins offer, in the order of the configuration.
func (s *Service) functions() (all []lambda.Function) {
	for _, p := range s.plugins {
		if p.registered == nil {
			continue
		}
		all = append(all, p.registered.Functions(func(ctx context.Context, k workers.Kind, name string, param json.RawMessage, c workers.Caller) (json.RawMessage, error) {
			return s.call(ctx, p, k, name, param, c)
		})...)
	}
	return all
}

// advance goes on when the last plugin has been configured. One that comes back later catches up alone.
func (s *Service) advance(ctx context.Context, p *plugin) {
	s.life.Lock()
	defer s.life.Unlock()
	p.configured = true
	whom := []*plugin{p}
	if s.state.Load() != ready {
		if slices.ContainsFunc(s.plugins, func(p *plugin) bool { return !p.configured }) {
			return
		}
		whom = s.plugins
		s.state.Store(initialised)
	}
	for _, p := range whom {
		s.event(ctx, p, "before-plugins-ready", s.c.Settings)
	}
	if ctx.Err() != nil {
		return
	}
	s.state.Store(ready)
	for _, name := range []string{"after-plugins-ready", "server-ready"} {
		for _, p := range whom {
			s.event(ctx, p, name, s.c.Settings)
		}
	}
	s.c.Log.InfoContext(ctx, "the plugins are ready")
}

// awaitRestart returns when a plugin is there again after it was not, or with ctx.
func (s *Service) awaitRestart(ctx context.Context, p *plugin) {
	ticks := time.NewTicker(s.c.Pause)
	defer ticks.Stop()
	for gone := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-p.lost:
			gone = true
		case <-ticks.C:
		}
		if !s.listens(ctx, p) {
			gone = true
		} else if gone {
			return
		}
	}
}

// listens says whether somebody takes connections where the plugin should. A busy machine may take
// its time to say so: a plugin that is believed gone is taken through its life once more.
func (s *Service) listens(ctx context.Context, p *plugin) bool {
	c, err := (&net.Dialer{Timeout: s.c.Timeout}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// pause says whether ctx has lasted.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
