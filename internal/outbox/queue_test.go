package outbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"
)

func TestOfASubjectOneStatusChangeIsUnderWay(t *testing.T) {
	s := newSchedule()
	for i, subject := range []string{"a", "b", "a", "alert", "alert", "c", "a"} {
		s.addMessage(subject, subject, subject != "alert", entry{seq: uint64(i + 1)})
	}
	var sent []uint64
	var first *queue
	for {
		q, e, ok := s.takeNext(false)
		if !ok {
			break
		}
		if first == nil {
			first = q
		}
		sent = append(sent, e.seq)
	}
	if diff := cmp.Diff([]uint64{1, 2, 4, 6, 5}, sent); diff != "" {
		t.Error(diff)
	}
	s.settleEntry(first)
	if _, e, ok := s.takeNext(false); !ok || e.seq != 3 {
		t.Errorf("after it, %d, %v", e.seq, ok)
	}
}

func TestWhatWasHeldGoesBehindAllOthers(t *testing.T) {
	s := newSchedule()
	s.addMessage("a", "a", true, entry{seq: 1})
	s.addMessage("a", "a", true, entry{seq: 2})
	q, e, _ := s.takeNext(false)
	s.holdQueue(q, e, waiting, "full")
	if _, _, ok := s.takeNext(false); ok || s.counts[waiting] != 2 {
		t.Errorf("%v", s.counts)
	}
	s.probeQueues(waiting, 10)
	if live, late := s.countSendable(); live != 0 || late != 1 {
		t.Errorf("%d live, %d late", live, late)
	}
	q, e, ok := s.takeNext(true)
	if !ok || e.seq != 1 || e.tried {
		t.Errorf("%+v, %v", e, ok)
	}
	if _, _, ok := s.takeNext(true); ok {
		t.Error("more than one is tried")
	}
	s.releaseQueue(q)
	s.settleEntry(q)
	if _, _, ok := s.takeNext(false); ok {
		t.Error("what was held does not go behind")
	}
	if _, e, ok := s.takeNext(true); !ok || e.seq != 2 {
		t.Errorf("%+v, %v", e, ok)
	}
}

// A random history, against what must hold: nothing is lost or sent twice at once, an
// ordered subject keeps its order, and the counts are right.
func TestAScheduleLosesNothingAndKeepsTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, p := newSchedule(), progress{}
		type taken struct {
			q *queue
			e entry
		}
		var under []taken
		settled, last := map[uint64]bool{}, map[string]uint64{}
		seq := uint64(0)
		pick := func() (taken, bool) {
			if len(under) == 0 {
				return taken{}, false
			}
			i := rapid.IntRange(0, len(under)-1).Draw(t, "which")
			m := under[i]
			under = slices.Delete(under, i, i+1)
			return m, true
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				seq++
				subject := rapid.SampledFrom([]string{"a", "b", "c", "alert"}).Draw(t, "subject")
				p.addSequence(seq)
				s.addMessage(subject, subject, subject != "alert", entry{seq: seq, msg: &Stored{Data: make([]byte, 10)}})
			},
			"add an epoch": func(*rapid.T) {
				if n := len(s.epochs); n == 0 || s.epochs[n-1] <= seq {
					s.addEpoch(seq + 1)
				}
			},
			"begin an epoch": func(t *rapid.T) {
				if len(s.epochs) == 0 {
					t.Skip()
				}
				s.beginEpoch()
			},
			"take": func(t *rapid.T) {
				if q, e, ok := s.takeNext(rapid.Bool().Draw(t, "late")); ok {
					if len(s.epochs) > 0 && e.seq >= s.epochs[0] {
						t.Fatalf("%d is of the epoch that begins at %d", e.seq, s.epochs[0])
					}
					if settled[e.seq] || q.ordered && (q.underWay != 1 || e.seq < last[q.subject]) {
						t.Fatalf("%d of %s, %d under way, after %d", e.seq, q.subject, q.underWay, last[q.subject])
					}
					under = append(under, taken{q, e})
				}
			},
			"settle": func(t *rapid.T) {
				if m, ok := pick(); ok {
					s.releaseQueue(m.q)
					s.settleEntry(m.q)
					p.settleSequence(m.e.seq)
					settled[m.e.seq] = true
					if m.q.ordered {
						last[m.q.subject] = m.e.seq
					}
				}
			},
			"keep": func(t *rapid.T) {
				if m, ok := pick(); ok {
					s.holdQueue(m.q, m.e, rapid.SampledFrom([]hold{waiting, refused}).Draw(t, "hold"), "why")
				}
			},
			"put back": func(*rapid.T) {
				if m, ok := pick(); ok {
					s.putBack(m.q, m.e)
				}
			},
			"probe": func(t *rapid.T) {
				s.probeQueues(rapid.SampledFrom([]hold{waiting, refused}).Draw(t, "hold"), 2)
			},
			"": func(t *rapid.T) {
				low := uint64(1)
				for settled[low] {
					low++
				}
				bytes, counts := 0, [holds]int{}
				for _, q := range s.queues {
					counts[q.hold] += q.countMessages()
					for _, e := range q.entries {
						if e.msg != nil {
							bytes += len(e.msg.Data)
						}
					}
				}
				if p.low != low-1 || p.live != s.countPending() || s.countPending() != int(seq)-len(settled) || counts != s.counts || bytes != s.bytes {
					t.Fatalf("%+v, low %d, %d settled of %d, %v, %d bytes", p, low, len(settled), seq, counts, bytes)
				}
			},
		})
		for s.countPending() > 0 { // and all of it gets out
			s.probeQueues(waiting, 100)
			s.probeQueues(refused, 100)
			for _, m := range under {
				s.releaseQueue(m.q)
				s.settleEntry(m.q)
			}
			under = nil
			if len(s.epochs) > 0 {
				s.beginEpoch()
			}
			n := s.countPending()
			for _, late := range []bool{false, true} {
				if q, e, ok := s.takeNext(late); ok {
					under = append(under, taken{q, e})
				}
			}
			if len(under) == 0 && n > 0 {
				t.Fatalf("%d are left", n)
			}
		}
	})
}

func TestWhatWaitsIsReadBackAsItWasKept(t *testing.T) {
	s := newSchedule()
	under := map[*queue][]uint64{}
	for seq := uint64(1); seq < 200; seq++ {
		subject := fmt.Sprint("s", rand.IntN(9))
		s.addMessage(subject, subject, true, entry{seq: seq})
	}
	q, e, _ := s.takeNext(false)
	s.holdQueue(q, e, refused, "no right")
	q, e, _ = s.takeNext(false)
	under[q] = []uint64{e.seq}
	s.addEpoch(120)
	s.addEpoch(150)
	text, err := s.snapshotQueues(300, under, map[uint64]string{7: "x"}).encodeText()
	if err != nil {
		t.Fatal(err)
	}
	w, err := parseWaitingFile(text)
	if err != nil || w.High != 300 || w.IDs[7] != "x" || !slices.Equal(w.Epochs, []uint64{120, 150}) {
		t.Fatalf("%+v, %v", w, err)
	}
	var all []uint64
	held := 0
	for _, q := range w.Queues {
		all = append(all, q.listSequences()...)
		if q.Hold == refused && q.Reason == "no right" {
			held++
		}
	}
	slices.Sort(all)
	if len(all) != 199 || all[0] != 1 || all[198] != 199 || held != 1 {
		t.Errorf("%d, %d held", len(all), held)
	}
	for i := range text {
		if _, err := parseWaitingFile(text[:i] + string(text[i]^1) + text[i+1:]); err == nil {
			t.Fatalf("byte %d is wrong, and that is not seen", i)
		}
	}
}

func FuzzParseWaitingFile(f *testing.F) {
	f.Add(`{"high":9,"queues":[{"key":"a","subject":"a","steps":[1,2,3]}]}`)
	f.Add(`{"high":9,"epochs":[4,2],"queues":[{"key":"a","subject":"a","steps":[1,2,3]}]}`)
	f.Add(`{"high":9,"queues":[{"key":"a","subject":"a","hold":7,"steps":[0,18446744073709551615]}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		w, err := parseWaitingFile(appendChecksum(body))
		if err != nil {
			return
		}
		if !slices.IsSorted(w.Epochs) {
			t.Errorf("%+v", w)
		}
		for _, q := range w.Queues {
			for _, seq := range q.listSequences() {
				if seq == 0 || seq > w.High || q.Hold >= holds {
					t.Errorf("%+v", w)
				}
			}
		}
	})
}

func FuzzParseAck(f *testing.F) {
	f.Add("_INBOX.x.0-1", `{"stream":"XDR","seq":1,"duplicate":true}`, "")
	f.Add("_INBOX.x.0-zz", `{"error":{"code":503,"err_code":10077,"description":"full"}}`, "")
	f.Add("_INBOX.x.0-2", "", "503")
	f.Fuzz(func(t *testing.T, subject, data, status string) {
		m := &nats.Msg{Subject: subject, Data: []byte(data), Header: nats.Header{"Status": {status}}}
		a, ok := parseAck("_INBOX.x", "", m)
		if ok && (a.err == nil) != (a.stream != "") {
			t.Errorf("%+v", a)
		}
		if ok && a.err == nil && data == "" {
			t.Error("nothing is an acknowledgement")
		}
	})
}

func TestAKindIsThePatternOfAllSubjectsLikeThisOne(t *testing.T) {
	for subject, want := range map[string]string{
		prefix + ".agent.001.status_change":    prefix + ".agent.*.status_change",
		prefix + ".manager.keepalive.001":      prefix + ".manager.keepalive.*",
		prefix + ".manager.status.node01":      prefix + ".manager.status.*",
		prefix + ".alerts.agent_disconnected":  prefix + ".alerts.agent_disconnected",
		"elsewhere.agent.001.status_change":    "elsewhere.agent.001.status_change",
		prefix + ".agent.001.more.than.we.say": prefix + ".agent.001.more.than.we.say",
	} {
		if got := kindOfSubject(prefix, subject); got != want || !matchesPattern(got, subject) {
			t.Errorf("%s: %s", subject, got)
		}
	}
}
