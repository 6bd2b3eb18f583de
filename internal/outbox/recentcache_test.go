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
func storedMessages(n int) []*nats.Msg {
	var msgs []*nats.Msg
	for range n {
		msgs = append(msgs, &nats.Msg{Subject: "a", Data: []byte("0123456789")})
	}
	return msgs
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
		{"all", func(t *recentCache) { t.addMessages(storedMessages(3), 10) }, 7, "8 9 10", 10},
		{"what follows", func(t *recentCache) { t.addMessages(storedMessages(3), 10) }, 9, "10", 10},
		{"nothing follows", func(t *recentCache) { t.addMessages(storedMessages(3), 10) }, 10, "", 10},
		{"one after the other", func(t *recentCache) { t.addMessages(storedMessages(2), 9); t.addMessages(storedMessages(1), 10) }, 7, "8 9 10", 10},
		{"no more than asked for", func(t *recentCache) { t.addMessages(storedMessages(7), 14) }, 8, "9 10 11", 14},
		{"no more than maxBytes", func(t *recentCache) { t.addMessages(storedMessages(9), 16) }, 8, "", 16},
		{"the newest", func(t *recentCache) { t.addMessages(storedMessages(9), 16) }, 14, "15 16", 16},
		{"none larger than maxBytes", func(t *recentCache) { t.addMessages([]*nats.Msg{{Data: make([]byte, 100)}}, 8) }, 7, "", 8},
		{"none before a gap", func(t *recentCache) { t.addMessages(storedMessages(2), 9); t.addMessages(storedMessages(1), 11) }, 7, "", 11},
		{"what comes after a gap", func(t *recentCache) { t.addMessages(storedMessages(2), 9); t.addMessages(storedMessages(1), 11) }, 10, "11", 11},
		{"only the end is known", func(t *recentCache) { t.addMessages(storedMessages(2), 9); t.addMessages(nil, 9) }, 8, "", 9},
		{"what was read is forgotten", func(t *recentCache) { t.addMessages(storedMessages(3), 10); t.messagesAfter(9, 1) }, 7, "", 10},
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
	cache.addMessages([]*nats.Msg{{Header: local}}, 1)
	msgs, _, _ := cache.messagesAfter(0, 1)
	if diff := cmp.Diff(nats.Header{jetstream.MsgIDHeader: {"2"}}, msgs[0].Header); diff != "" {
		t.Error(diff)
	}
	if len(local) != 2 {
		t.Error("the publisher's header was changed")
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
			r.recent = newRecentCache(maxBytes, 20)
			o.forwarders[Status] = &forwarder{reader: r}
			defer func() { o.forwarders[Status] = nil }()
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
