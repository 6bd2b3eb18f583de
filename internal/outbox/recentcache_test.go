package outbox

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// storedMessages makes messages of ten bytes each.
func storedMessages(n int) []outgoing {
	var msgs []outgoing
	for range n {
		msgs = append(msgs, outgoing{Msg: &nats.Msg{Subject: "a", Data: []byte("0123456789")}})
	}
	return msgs
}

// addStored adds messages to a cache as a publisher does.
func addStored(t *recentCache, msgs []outgoing, last uint64) {
	caches := recentCaches{all: []*recentCache{t}}
	caches.addMessages(msgs, last)
}

func TestARecentCacheHasTheNewestMessagesInARow(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fill  func(*recentCache)
		after uint64
		want  string
		end   uint64
	}{
		{"nothing", func(*recentCache) {}, 7, "", 7},
		{"all", func(t *recentCache) { addStored(t, storedMessages(3), 10) }, 7, "8 9 10", 10},
		{"what follows", func(t *recentCache) { addStored(t, storedMessages(3), 10) }, 9, "10", 10},
		{"nothing follows", func(t *recentCache) { addStored(t, storedMessages(3), 10) }, 10, "", 10},
		{"one after the other", func(t *recentCache) { addStored(t, storedMessages(2), 9); addStored(t, storedMessages(1), 10) }, 7, "8 9 10", 10},
		{"no more than asked for", func(t *recentCache) { addStored(t, storedMessages(7), 14) }, 8, "9 10 11", 14},
		{"no more than maxBytes", func(t *recentCache) { addStored(t, storedMessages(9), 16) }, 8, "", 16},
		{"the newest", func(t *recentCache) { addStored(t, storedMessages(9), 16) }, 14, "15 16", 16},
		{"none larger than maxBytes", func(t *recentCache) { addStored(t, []outgoing{{Msg: &nats.Msg{Data: make([]byte, 100)}}}, 8) }, 7, "", 8},
		{"none before a gap", func(t *recentCache) { addStored(t, storedMessages(2), 9); addStored(t, storedMessages(1), 11) }, 7, "", 11},
		{"what comes after a gap", func(t *recentCache) { addStored(t, storedMessages(2), 9); addStored(t, storedMessages(1), 11) }, 10, "11", 11},
		{"only the end is known", func(t *recentCache) { addStored(t, storedMessages(2), 9); addStored(t, nil, 9) }, 8, "", 9},
		{"what was read is forgotten", func(t *recentCache) { addStored(t, storedMessages(3), 10); t.messagesAfter(9, 1) }, 7, "", 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cache := newRecentCache(70, 7)
			tt.fill(cache)
			msgs, end, more := cache.messagesAfter(tt.after, 3)
			var got []string
			for _, m := range msgs {
				got = append(got, fmt.Sprint(m.Seq))
			}
			if strings.Join(got, " ") != tt.want || end != tt.end {
				t.Errorf("%q up to %d, want %q up to %d", got, end, tt.want, tt.end)
			}
			size := 0
			for _, m := range cache.msgs {
				size += len(m.Data)
			}
			if size != cache.size || size > cache.maxBytes {
				t.Errorf("%d bytes, %d by its own count", size, cache.size)
			}
			select {
			case <-more:
				t.Error("it tells of more than there is")
			default:
			}
			cache.addMessages(nil, 99)
			<-more
		})
	}
}

func TestARecentCacheDoesNotForwardWhatIsMeantForTheLocalStream(t *testing.T) {
	local := nats.Header{jetstream.MsgIDHeader: {"2"}, jetstream.ExpectedLastMsgIDHeader: {"1"}}
	cache := newRecentCache(10, 0)
	addStored(cache, []outgoing{{Msg: &nats.Msg{Header: local}}}, 1)
	msgs, _, _ := cache.messagesAfter(0, 1)
	if diff := cmp.Diff(nats.Header{jetstream.MsgIDHeader: {"2"}}, msgs[0].Header); diff != "" {
		t.Error(diff)
	}
}

func TestAReaderGetsWhatAMessageWasMadeFromWhileThatIsInMemory(t *testing.T) {
	o := mustOpen(t, Config{})
	recent := mustRead(t, o, func(cfg *ReaderConfig) { cfg.Recent = true })
	msgs := messages(Status, 1, 3)
	for i := range msgs {
		msgs[i].Body = i
	}
	mustPublish(t, o, msgs)
	for _, tt := range []struct {
		reader *Reader
		want   []any
	}{{recent, []any{0, 1, 2}}, {mustRead(t, o, func(cfg *ReaderConfig) { cfg.Name = "ocsf" }), []any{nil, nil, nil}}} {
		var got []any
		for len(got) < len(msgs) {
			batch, err := tt.reader.Next(testContext(t), len(msgs))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range batch {
				got = append(got, m.Body)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// A reader goes over from the stream to the cache and back, and misses nothing.
func TestAReaderOfACacheAndItsStreamReadsAllInOrder(t *testing.T) {
	for name, maxBytes := range map[string]int{"all from the cache": 1 << 20, "some from both": 300, "all from the stream": 0} {
		t.Run(name, func(t *testing.T) {
			o := mustOpen(t, Config{})
			old := messages(Status, 1, 20)
			mustPublish(t, o, old)
			r := mustRead(t, o)
			r.recent, r.caches = newRecentCache(maxBytes, 20), &o.recent[Status]
			r.caches.attach(r.recent)
			all, done := messages(Status, 21, 2000), make(chan error)
			go func() {
				var err error
				for rest := all; len(rest) > 0 && err == nil; {
					n := min(1+len(rest)%70, len(rest))
					err = o.Publish(t.Context(), rest[:n])
					rest = rest[n:]
				}
				done <- err
			}()
			got, last := read(t, r, 2000)
			if diff := cmp.Diff(ids(append(old, all...)), got); diff != "" || last != 2000 {
				t.Error(last, diff)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			r.Confirm(1990)
			r.Rewind()
			if got, _ := read(t, r, 10); cmp.Diff(ids(all[len(all)-10:]), got) != "" {
				t.Errorf("after a rewind: %v", got)
			}
		})
	}
}

// A reader of a cache may want some subjects only, also where the others come last, and where it
// begins while messages are published.
func TestAReaderOfACacheReadsWhatItsFilterMatches(t *testing.T) {
	o := mustOpen(t, Config{})
	wanted, others := messages(Status, 1, 400), messages(Status, 1, 400)
	var all []Message
	for i := range wanted {
		others[i].Subject, others[i].ID = "wazuh.xdr.alerts.level_10", "alert-"+others[i].ID
		all = append(all, wanted[i], others[i])
	}
	mustPublish(t, o, all[:200])
	done := make(chan error)
	go func() {
		var err error
		for rest := all[200:]; len(rest) > 0 && err == nil; rest = rest[6:] {
			err = o.Publish(t.Context(), rest[:6])
		}
		done <- err
	}()
	r := mustRead(t, o, func(cfg *ReaderConfig) { cfg.Filter, cfg.Recent = "wazuh.xdr.agent.*.status_change", true })
	got, last := read(t, r, 400)
	if diff := cmp.Diff(ids(wanted), got); diff != "" || last != 799 {
		t.Error(last, diff)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	more := messages(Status, 801, 801)
	mustPublish(t, o, more)
	if got, _ := read(t, r, 1); cmp.Diff(ids(more), got) != "" {
		t.Errorf("then %v", got)
	}
	if r.msgs != nil {
		t.Error("it does not read from memory")
	}
}
