package outbox

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

// When a consumer gives way to a new one of another reader.
const (
	consumersPerClient = consumersMax / 2
	firstUseWithin     = 5 * time.Second // a new one that nobody has read from goes after this
	madeMax            = 10_000          // of which it is remembered who made them
	restUntil          = time.Minute     // one that was read from goes when nobody has for this long
)

// places are the consumers that readers may have of each stream. It is for one goroutine.
type places struct {
	js   jetstream.JetStream
	made map[string]netip.Prefix // who made a consumer, by stream and name, as far as known
	now  func() time.Time
	logs rate.Sometimes
	log  *slog.Logger
}

func newPlaces(js jetstream.JetStream, log *slog.Logger) *places {
	return &places{js: js, made: make(map[string]netip.Prefix), now: time.Now, logs: rate.Sometimes{Interval: time.Minute}, log: log}
}

// makeRoom lets a reader have the consumer that it has already, and else a new one: where
// there are too many, in the place of one that is not in use.
func (p *places) makeRoom(ctx context.Context, stream, name string, client netip.Prefix) error {
	if !slices.Contains(readable, stream) {
		return fmt.Errorf("no stream %s", stream)
	}
	s, err := p.js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	mine := 0
	for _, who := range p.made {
		if who == client {
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
	return p.replaceOne(ctx, s, client)
}

// replaceOne removes the consumer that is needed least, where there are too many.
func (p *places) replaceOne(ctx context.Context, s jetstream.Stream, client netip.Prefix) error {
	stream := s.CachedInfo().Config.Name
	held, err := p.list(ctx, s)
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
	held = slices.DeleteFunc(held, func(c reader) bool { return !c.mayGo(now) || tooMany && c.client != client })
	if len(held) == 0 {
		return fmt.Errorf("stream %s has %d consumers already, all in use: they go when unused", stream, consumersMax)
	}
	victim := slices.MinFunc(held, func(a, b reader) int {
		return cmp.Or(-cmp.Compare(a.unread(), b.unread()), cmp.Compare(perClient[b.client], perClient[a.client]), a.active.Compare(b.active))
	})
	if err := s.DeleteConsumer(ctx, victim.name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	delete(p.made, stream+" "+victim.name)
	p.logs.Do(func() {
		p.log.Warn("readers have as many consumers as there may be: those that were unused for longest give way", "stream", stream, "at_most", consumersMax)
	})
	return nil
}

// reader is a consumer of a reader.
type reader struct {
	name    string
	client  netip.Prefix
	active  time.Time // when it was read from last, or made
	read    uint64    // messages
	waiting bool      // somebody waits for messages
}

func (r *reader) unread() int {
	if r.read == 0 {
		return 1
	}
	return 0
}

func (r *reader) mayGo(now time.Time) bool {
	rest := restUntil
	if r.read == 0 {
		rest = firstUseWithin
	}
	return !r.waiting && now.Sub(r.active) >= rest
}

// list returns the readers' consumers of a stream, and forgets who made those that are gone.
func (p *places) list(ctx context.Context, s jetstream.Stream) (held []reader, err error) {
	stream := s.CachedInfo().Config.Name
	there := make(map[string]bool)
	list := s.ListConsumers(ctx)
	for info := range list.Info() {
		if slices.Contains(ownConsumers, info.Name) {
			continue
		}
		key := stream + " " + info.Name
		there[key] = true
		r := reader{name: info.Name, client: p.made[key], active: info.Created, read: info.Delivered.Consumer, waiting: info.NumWaiting > 0}
		for _, last := range []*time.Time{info.Delivered.Last, info.AckFloor.Last} {
			if last != nil && last.After(r.active) {
				r.active = *last
			}
		}
		held = append(held, r)
	}
	for key := range p.made {
		if len(key) > len(stream) && key[:len(stream)+1] == stream+" " && !there[key] {
			delete(p.made, key)
		}
	}
	return held, list.Err()
}

// recordMaker remembers who made a consumer, by the server's answer.
func (p *places) recordMaker(stream string, client netip.Prefix, answer []byte) {
	var made struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(answer, &made) == nil && made.Name != "" && client.IsValid() {
		if len(p.made) >= madeMax {
			clear(p.made)
		}
		p.made[stream+" "+made.Name] = client
	}
}

// clientOf returns who makes a request, as the server says; none where it does not.
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
