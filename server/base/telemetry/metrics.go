package telemetry

import (
	"database/sql"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is the server's own registry. Nothing is registered globally, so a test may have many.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec

	_        [64]byte // apart from what is only read: each write takes a cache line from the other processors
	inFlight atomic.Int64
	_        [64]byte

	mu     sync.Mutex
	series atomic.Pointer[map[seriesKey]series] // found once, because finding hashes every label; never changed, only replaced
}

type seriesKey struct {
	method, route string
	status        int
}

type series struct {
	count    prometheus.Counter
	duration prometheus.Observer
}

// NewMetrics returns a registry with the metrics of HTTP, of the Go runtime and of the process.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crema_http_requests_total", Help: "Requests answered, by method, route and status.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "crema_http_request_duration_seconds", Help: "Time to answer a request.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"method", "route"}),
	}
	m.series.Store(&map[seriesKey]series{})
	m.Gauge("http_requests_in_flight", "Requests that are being answered.", func() float64 { return float64(m.inFlight.Load()) })
	m.registry.MustRegister(m.requests, m.duration,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Counter is a number that only grows, one for each combination of label values.
type Counter struct{ vec *prometheus.CounterVec }

// Counter registers crema_<name>. Asked for twice, it returns the same counter. Label values must
// come from a small closed set: never an id, an e-mail address or anything that a client sends.
func (m *Metrics) Counter(name, help string, labels ...string) Counter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "crema_" + name, Help: help}, labels)
	err := m.registry.Register(vec)
	if already, ok := err.(prometheus.AlreadyRegisteredError); ok {
		if existing, ok := already.ExistingCollector.(*prometheus.CounterVec); ok {
			vec = existing
		}
	}
	return Counter{vec: vec}
}

// Add counts n more for these label values, given in the order of the labels. A wrong number of
// values counts nothing.
func (c Counter) Add(n float64, values ...string) {
	if counter, err := c.vec.GetMetricWithLabelValues(values...); err == nil {
		counter.Add(n)
	}
}

// Gauge publishes crema_<name>; value is called when somebody asks. A second one of that name is not published.
func (m *Metrics) Gauge(name, help string, value func() float64) {
	_ = m.registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "crema_" + name, Help: help}, value))
}

// Begin counts a request as in flight until Observe.
func (m *Metrics) Begin() { m.inFlight.Add(1) }

// Observe counts a request that is answered. Route is a pattern, never a path.
func (m *Metrics) Observe(method, route string, status int, took time.Duration) {
	m.inFlight.Add(-1)
	s := m.find(seriesKey{method, route, status})
	s.count.Inc()
	s.duration.Observe(took.Seconds())
}

func (m *Metrics) find(k seriesKey) series {
	if s, ok := (*m.series.Load())[k]; ok {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := maps.Clone(*m.series.Load())
	all[k] = series{m.requests.WithLabelValues(k.method, k.route, strconv.Itoa(k.status)), m.duration.WithLabelValues(k.method, k.route)}
	m.series.Store(&all)
	return all[k]
}

// WatchPool publishes the state of a connection pool; stats is called when somebody asks.
func (m *Metrics) WatchPool(stats func() sql.DBStats) {
	gauge := func(name, help string, value func(sql.DBStats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "crema_db_" + name, Help: help},
			func() float64 { return value(stats()) })
	}
	for _, c := range []prometheus.Collector{
		gauge("connections_max", "Connections the pool may open.", func(s sql.DBStats) float64 { return float64(s.MaxOpenConnections) }),
		gauge("connections_in_use", "Connections in use.", func(s sql.DBStats) float64 { return float64(s.InUse) }),
		gauge("connections_idle", "Connections at rest.", func(s sql.DBStats) float64 { return float64(s.Idle) }),
		gauge("waits", "Times somebody waited for a connection.", func(s sql.DBStats) float64 { return float64(s.WaitCount) }),
		gauge("wait_seconds", "Time waited for connections.", func(s sql.DBStats) float64 { return s.WaitDuration.Seconds() }),
	} {
		_ = m.registry.Register(c) // a second pool is not watched
	}
}

// Handler answers with everything in the text format of Prometheus. It checks no credentials.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
