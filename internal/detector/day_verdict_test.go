package detector

import (
	"fmt"
	"testing"
	"time"
)

// worldVerdicts counts what the table said of the losses beside the changes.
type worldVerdicts struct {
	probed, answering     int // hosts
	steps, released       int // alerts
	afterOutages          int // of the released
	foundLater            int // losses that were alerts before the outage that they are part of
	silenced, quietLosses int // agents silenced; of their losses
	wrong                 []string
}

// planSilences begins a silence of a part of the networks now and then, and ends those
// that have lasted long enough.
func (w *world) planSilences() (changes []Silenced) {
	begin, block := w.random.IntN(3000) == 0, w.random.IntN(64)
	end := w.random.IntN(600) == 0
	if !begin && !end {
		return nil
	}
	for i := range w.agents {
		a := &w.agents[i]
		switch {
		case begin && !a.silenced && i>>4%64 == block:
			a.silenced, a.quietAt = true, w.now
			w.verdicts.silenced++
			changes = append(changes, Silenced{AgentID(i + 1), true})
		case end && a.silenced && w.now-a.quietAt > 3600:
			a.silenced = false
			changes = append(changes, Silenced{AgentID(i + 1), false})
		}
	}
	return changes
}

// probeHosts returns what the probes find that were decided: the host of an agent that was
// cut off is silent, some probes fail, and the rest answers.
func (w *world) probeHosts(said []Decision, now Instant) (found []HostReport) {
	for i := range said {
		d := &said[i]
		if d.Verdict != ProbeHost {
			continue
		}
		r := HostReport{ID: d.ID, Token: d.Token, At: now.Add(5 * time.Millisecond), Host: HostAnswers, Probe: "icmp"}
		switch {
		case w.agents[d.ID-1].is == cut:
			r.Host = HostSilent
		case w.random.IntN(20) == 0:
			r.Host, r.Probe = HostUnknown, ""
		}
		w.verdicts.probed++
		if r.Host == HostAnswers {
			w.verdicts.answering++
		}
		found = append(found, r)
	}
	return found
}

// recordAlert records an alert of a single agent: one that was held, or a step.
func (w *world) recordAlert(a *worldAgent, d *Decision) {
	v := &w.verdicts
	complain := func(what string) {
		v.wrong = append(v.wrong, fmt.Sprintf("%s: %+v", what, *d))
	}
	switch {
	case d.Silenced:
		complain("an alert of a silenced agent")
	case a.status != Disconnected || a.last.At != w.second(d.At):
		complain("an alert of an absence that is over")
	case d.Verdict == AlertReleased && a.alerted:
		complain("an alert of a loss that was reported before")
	case d.Verdict == AlertReleased && !a.alertHeld:
		complain("an alert that was not held")
	case d.Verdict == Escalated && (d.Step <= a.step || d.AwayFor < daySettings.EscalateAfter[d.Step-1]):
		complain("a step that was reported, or is not reached")
	}
	a.alertHeld, a.alerted = false, true
	if d.Verdict == Escalated {
		a.step = d.Step
		v.steps++
	} else {
		v.released++
		if d.Outage {
			v.afterOutages++
		}
	}
}

func (v *worldVerdicts) check(t *testing.T) {
	t.Logf("%d hosts probed, %d answer; %d steps of absences, %d alerts released (%d after outages, that %d losses were alerts before); %d agents silenced, %d of their losses",
		v.probed, v.answering, v.steps, v.released, v.afterOutages, v.foundLater, v.silenced, v.quietLosses)
	if v.probed == 0 || v.answering == 0 || v.steps == 0 || v.released == 0 || v.afterOutages == 0 || v.foundLater == 0 || v.silenced == 0 || v.quietLosses == 0 {
		t.Error("the day lacks one of these")
	}
	v.checkAlerts(t)
}

func (v *worldVerdicts) checkAlerts(t *testing.T) {
	for i, wrong := range v.wrong {
		if i < 5 {
			t.Errorf("%d wrong alerts: %s", len(v.wrong), wrong)
		}
	}
}
