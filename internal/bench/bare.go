package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// sampleCount is how many of Pulse's messages the bare client publishes
	// again.
	sampleCount = 1000
	// bareMaxPending is how many messages it publishes without waiting: the
	// default of nats.go.
	bareMaxPending = 4000
)

// publishBare measures the client library alone: it publishes the messages
// that Pulse published, from this process to the same server, asynchronously.
// It returns how many a second were stored, and the client's processor time in µs for each.
func (f *natsServer) publishBare(ctx context.Context, messages int) (rate, cpu float64, err error) {
	like, err := f.readSamples(ctx)
	if err != nil {
		return 0, 0, err
	}
	if _, err := f.createStream(ctx, bareStream, barePrefix); err != nil {
		return 0, 0, err
	}
	nc, err := nats.Connect(f.url, nats.Name("pulse-bench, the bare client"))
	if err != nil {
		return 0, 0, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(bareMaxPending))
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	used, err := processorTime()
	if err != nil {
		return 0, 0, err
	}
	futures := make([]jetstream.PubAckFuture, messages)
	for i := range futures {
		m := like[i%len(like)]
		header := nats.Header{"Content-Type": m.Header["Content-Type"], jetstream.MsgIDHeader: {"bare-1-" + strconv.Itoa(i)}}
		if futures[i], err = js.PublishMsgAsync(&nats.Msg{Subject: m.Subject, Header: header, Data: m.Data}, jetstream.WithStallWait(answerTime)); err != nil {
			return 0, 0, fmt.Errorf("publish with the bare client: %w", err)
		}
	}
	for _, future := range futures {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			return 0, 0, fmt.Errorf("publish with the bare client: %w", err)
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
	rate = float64(messages) / time.Since(began).Seconds()
	cpu, err = processorTimeOfEach(used, messages)
	return rate, cpu, err
}

// readSamples returns the first messages that Pulse published, with subjects
// of the bare client's stream.
func (f *natsServer) readSamples(ctx context.Context) (like []*jetstream.RawStreamMsg, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for seq := uint64(1); seq <= sampleCount; seq++ {
		m, err := f.stream.GetMsg(ctx, seq)
		if err != nil {
			return nil, fmt.Errorf("read what Pulse published: %w", err)
		}
		m.Subject = barePrefix + strings.TrimPrefix(m.Subject, pulsePrefix)
		like = append(like, m)
	}
	return like, nil
}
