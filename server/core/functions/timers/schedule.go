package timers

import (
	"time"

	"github.com/robfig/cron/v3"

	"crema/server/base/fault"
)

// Schedule says when a timer ticks.
type Schedule struct {
	cron  cron.Schedule
	every time.Duration // for @every; else 0
}

// parser reads what Skygear's timers have: seconds first, and the day of the week may be left out.
func parser() cron.Parser {
	return cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.DowOptional | cron.Descriptor)
}

// Parse reads a schedule: "second minute hour day month [weekday]", @hourly and the like, or "@every 1m30s"
// (whole seconds, at least one). Reason timers.bad_schedule.
func Parse(spec string) (Schedule, error) {
	s, err := parser().Parse(spec)
	if err != nil {
		return Schedule{}, fault.Wrap(err, fault.NotConfigured, "timers.bad_schedule",
			"%.60q is no schedule (%v); write six fields with seconds first, such as \"0 30 6 * * *\", @daily, or @every 1m30s", spec, err)
	}
	if every, ok := s.(cron.ConstantDelaySchedule); ok {
		return Schedule{every: every.Delay}, nil
	}
	return Schedule{cron: s}, nil
}

// Next returns the first tick after t, zero when there is none.
func (s Schedule) Next(t time.Time) time.Time {
	t = t.UTC()
	if s.every > 0 {
		return t.Truncate(s.every).Add(s.every)
	}
	return s.cron.Next(t)
}
