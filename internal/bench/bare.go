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
	// samples is how many of Pulse's messages the bare client publishes over again.
	samples = 1000
	// bareUnderWay is how many it has under way: what nats.go's default is.
	bareUnderWay = 4000
)

// bare measures the client library alone: the messages that Pulse published, from
// this process to the same server, asynchronously. It returns how many a second
// were stored.
func (f *far) bare(ctx context.Context, messages int) (float64, error) {
	like, err := f.sample(ctx)
	if err != nil {
		return 0, err
	}
	if _, err := f.newStream(ctx, bareStream, barePrefix); err != nil {
		return 0, err
	}
	nc, err := nats.Connect(f.url, nats.Name("pulse-bench, the bare client"))
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(bareUnderWay))
	if err != nil {
		return 0, err
	}
	began := time.Now()
	futures := make([]jetstream.PubAckFuture, messages)
	for i := range futures {
		m := like[i%len(like)]
		header := nats.Header{"Content-Type": m.Header["Content-Type"], jetstream.MsgIDHeader: {"bare-1-" + strconv.Itoa(i)}}
		if futures[i], err = js.PublishMsgAsync(&nats.Msg{Subject: m.Subject, Header: header, Data: m.Data}); err != nil {
			return 0, fmt.Errorf("publish with the bare client: %w", err)
		}
	}
	for _, future := range futures {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			return 0, fmt.Errorf("publish with the bare client: %w", err)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return float64(messages) / time.Since(began).Seconds(), nil
}

// sample returns the first messages that Pulse published, under subjects of the
// bare client's.
func (f *far) sample(ctx context.Context) (like []*jetstream.RawStreamMsg, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for seq := uint64(1); seq <= samples; seq++ {
		m, err := f.stream.GetMsg(ctx, seq)
		if err != nil {
			return nil, fmt.Errorf("read what Pulse published: %w", err)
		}
		m.Subject = barePrefix + strings.TrimPrefix(m.Subject, pulsePrefix)
		like = append(like, m)
	}
	return like, nil
}
