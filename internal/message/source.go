// Package message turns the detector's decisions into messages, and stored messages
// back into what a starting node restores.
//
// A [Writer] numbers the messages of one run of a node; it is for one goroutine. A
// [Reader] reads the STATUS stream of the outbox. The package starts no goroutines.
package message

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"hash"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// Source numbers the messages of one run of a node. It is for one goroutine.
type Source struct {
	Node    string
	Version string
	Epoch   uint64

	last uint64
}

// Stamp returns the Security of the next message, to be published to subject.
// Every stamp must be published: a gap would look like a lost message.
func (s *Source) Stamp(subject string, now time.Time) event.Security {
	s.last++
	return s.stampAgain(subject, now)
}

// stampAgain returns the Security of a message with the sequence of the last stamp.
func (s *Source) stampAgain(subject string, now time.Time) event.Security {
	return event.Security{Source: event.Origin, Version: s.Version, Sequence: s.last, Node: s.Node, Epoch: s.Epoch,
		IssuedAt: now.UnixMilli(), Subject: subject}
}

// LastSequence returns the sequence of the last stamp; 0 before the first.
func (s *Source) LastSequence() uint64 { return s.last }

// idSigner makes message IDs that nobody can foresee, so that nobody can make a stream
// drop a message as a duplicate: each ends with a code that only this run of the node
// can make.
//
// The secret is in memory only. Another run has another epoch, and makes none of these
// IDs again; what is sent again after a crash has the ID with which it is stored.
type idSigner struct{ mac hash.Hash }

func newIDSigner() *idSigner {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	return &idSigner{hmac.New(sha256.New, secret[:])}
}

// idCodeBytes is the length of the code before its encoding: 16 characters.
const idCodeBytes = 10

// signID returns an ID with its code.
func (s *idSigner) signID(id string) string {
	s.mac.Reset()
	s.mac.Write([]byte(id))
	var sum [sha256.Size]byte
	return id + "-" + base32.StdEncoding.EncodeToString(s.mac.Sum(sum[:0])[:idCodeBytes])
}
