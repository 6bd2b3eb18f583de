package natsserver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/connlimit"
	"golang.org/x/time/rate"
)

// When a consumer is removed for a new one of another reader.
const (
	consumersPerClient = consumersMax / 2
	firstUseWithin     = 5 * time.Second // of a new one: else it may be removed
	makersMax          = 10_000          // consumers whose maker is remembered
	unusedAfter        = time.Minute     // without a read, one that was read from may be removed
)

// consumerSlots are the consumers that readers may have of each stream. It is for one goroutine.
type consumerSlots struct {
	js     jetstream.JetStream
	makers map[string]netip.Prefix // who made a consumer, by stream and name, as far as known
	now    func() time.Time
	logs   rate.Sometimes
	log    *slog.Logger
}

func newConsumerSlots(js jetstream.JetStream, log *slog.Logger) *consumerSlots {
	return &consumerSlots{js: js, makers: make(map[string]netip.Prefix), now: time.Now, logs: rate.Sometimes{Interval: time.Minute}, log: log}
}

// freeSlot returns nil when a reader may have a consumer: one that it has already, or a
// new one, for which it removes one that is not in use where there are too many.
func (p *consumerSlots) freeSlot(ctx context.Context, stream, name string, client netip.Prefix) error {
	if !slices.Contains(readableStreams, stream) {
		return fmt.Errorf("no stream %s", stream)
	}
	s, err := p.js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	mine := 0
	for _, maker := range p.makers {
		if maker == client {
			mine++
		}
	}
	total := s.CachedInfo().State.Consumers
	if total < consumersMax && mine < consumersPerClient {
		return nil
	}
	if name != "" {
		if _, err := s.Consumer(ctx, name); err == nil {
			return nil
		}
	}
	return p.removeUnused(ctx, s, client)
}

// removeUnused removes the consumer that is needed least, where there are too many.
func (p *consumerSlots) removeUnused(ctx context.Context, s jetstream.Stream, client netip.Prefix) error {
	stream := s.CachedInfo().Config.Name
	held, err := p.listConsumers(ctx, s)
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	perClient := make(map[netip.Prefix]int)
	for i := range held {
		perClient[held[i].client]++
	}
	tooMany := client.IsValid() && perClient[client] >= consumersPerClient
	if len(held) < consumersMax && !tooMany {
		return nil
	}
	now := p.now()
	held = slices.DeleteFunc(held, func(c consumer) bool { return !c.removable(now) || tooMany && c.client != client })
	if len(held) == 0 {
		return fmt.Errorf("stream %s has %d consumers already, all in use: they go when unused", stream, consumersMax)
	}
	victim := slices.MinFunc(held, func(a, b consumer) int {
		return cmp.Or(-cmp.Compare(a.unreadRank(), b.unreadRank()), cmp.Compare(perClient[b.client], perClient[a.client]), a.active.Compare(b.active))
	})
	if err := s.DeleteConsumer(ctx, victim.name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	delete(p.makers, stream+" "+victim.name)
	p.logs.Do(func() {
		p.log.Warn("readers have as many consumers as there may be: those that were unused for longest give way", "stream", stream, "at_most", consumersMax)
	})
	return nil
}

// consumer is a consumer of a reader.
type consumer struct {
	name    string
	client  netip.Prefix
	active  time.Time // when it was read from last, or made
	read    uint64    // messages
	waiting bool      // a pull request waits for messages
}

// unreadRank is 1 for a consumer that nobody has read from, and else 0.
func (c *consumer) unreadRank() int {
	if c.read == 0 {
		return 1
	}
	return 0
}

// removable reports whether it is not in use.
func (c *consumer) removable(now time.Time) bool {
	unused := unusedAfter
	if c.read == 0 {
		unused = firstUseWithin
	}
	return !c.waiting && now.Sub(c.active) >= unused
}

// listConsumers returns the readers' consumers of a stream, and forgets the makers of those that are gone.
func (p *consumerSlots) listConsumers(ctx context.Context, s jetstream.Stream) (held []consumer, err error) {
	stream := s.CachedInfo().Config.Name
	there := make(map[string]bool)
	list := s.ListConsumers(ctx)
	for info := range list.Info() {
		if slices.Contains(OwnConsumers, info.Name) {
			continue
		}
		key := stream + " " + info.Name
		there[key] = true
		c := consumer{name: info.Name, client: p.makers[key], active: info.Created, read: info.Delivered.Consumer, waiting: info.NumWaiting > 0}
		for _, last := range []*time.Time{info.Delivered.Last, info.AckFloor.Last} {
			if last != nil && last.After(c.active) {
				c.active = *last
			}
		}
		held = append(held, c)
	}
	for key := range p.makers {
		if len(key) > len(stream) && key[:len(stream)+1] == stream+" " && !there[key] {
			delete(p.makers, key)
		}
	}
	return held, list.Err()
}

// recordMaker remembers the client that made a consumer, by the server's answer.
func (p *consumerSlots) recordMaker(stream string, client netip.Prefix, answer []byte) {
	var made struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(answer, &made) == nil && made.Name != "" && client.IsValid() {
		if len(p.makers) >= makersMax {
			clear(p.makers)
		}
		p.makers[stream+" "+made.Name] = client
	}
}

// clientOf returns the address from which a request comes, by the server's header; the
// zero value without one.
func clientOf(m *nats.Msg) netip.Prefix {
	var info struct {
		Host string `json:"host"`
	}
	if json.Unmarshal([]byte(m.Header.Get(server.ClientInfoHdr)), &info) != nil {
		return netip.Prefix{}
	}
	addr, err := netip.ParseAddr(info.Host)
	if err != nil {
		return netip.Prefix{}
	}
	return connlimit.ClientOfAddr(addr)
}
