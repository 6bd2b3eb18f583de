package cluster

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// sessionView is the view in one session.
type sessionView struct {
	*View
	bucket   *bucket
	reader   *reader
	target   *target       // up to where there are records
	writable chan struct{} // closed when this node's public key is known to the others
}

// serveSession keeps the view until the session fails or ctx ends.
func (v *View) serveSession(ctx context.Context, s *remote.Session, onGood func()) error {
	b, err := openBucket(ctx, s, v.timing.answer)
	if err != nil {
		return err
	}
	o := &sessionView{View: v, bucket: b, target: newTarget(), writable: make(chan struct{})}
	o.reader = newReader(o)
	if _, err := s.Conn.Subscribe(hintSubject("*"), o.handleHint); err != nil {
		return err
	}
	if err := o.beginSession(ctx); err != nil {
		return err
	}
	onGood()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var writing sync.WaitGroup
	writing.Go(func() { cancel(o.writeRecords(ctx)) })
	if err := o.reader.followStream(ctx); err != nil {
		cancel(err)
	}
	writing.Wait()
	return context.Cause(ctx)
}

// beginSession compares the bucket with the one of the session before.
func (o *sessionView) beginSession(ctx context.Context) error {
	key := ownership.Key{Node: o.cfg.Node, Kind: ownership.BeatRecord}.String()
	value, err := o.bucket.readOwnBeat(ctx, key)
	if err != nil {
		return err
	}
	last := o.bucket.stream.CachedInfo().State.LastSeq
	o.mu.Lock()
	defer o.mu.Unlock()
	if text, _, err := splitValue(value); err == nil {
		if r, err := ownership.ParseRecord(text); err == nil {
			o.member.AdoptEpoch(r.Stamp.Epoch)
			o.member.AdoptBeat(&r.Beat)
		}
	}
	switch first := o.created.IsZero(); {
	case !first && (!o.created.Equal(o.bucket.created) || last < o.member.State.Position()):
		o.member.ForgetStream()
		o.loaded = false
	case !first && (time.Since(o.good) > o.timing.away || !o.loaded):
		o.member.State.BeginReread()
		o.loaded = false
	default:
		o.reader.position = o.member.State.Position()
	}
	o.noticeAbsence()
	o.created = o.bucket.created
	o.member.SetTime(o.now())
	o.member.AdvanceFrontier(last)
	o.member.ResumeReading()
	o.reader.loadUpTo = last
	o.target.raise(last, "")
	return nil
}

// handleHint takes up to which order another node, or this one, has stored records.
func (o *sessionView) handleHint(m *nats.Msg) {
	node, _, _ := strings.Cut(strings.TrimPrefix(m.Subject, "pulse."), ".")
	if order, ok := decodeOrder(m.Data); ok {
		o.target.raise(order, node)
	}
}
