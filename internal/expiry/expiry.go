// Package expiry has what expires, such as certificates and logins, and when, so that people know before it does.
//
// It holds no state, and starts no goroutines. Everything in it may be used concurrently.
package expiry

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Notice is how long before something expires a person should know.
const Notice = 30 * 24 * time.Hour

// Item is something that expires.
type Item struct {
	Code string // one word, for programs: "tls_cert"
	What string // as text: "the client certificate (<tls_cert>)"
	At   time.Time
}

// Earliest returns, of the certificates, the time at which the first of them expires; zero for none.
func Earliest(certificates []*x509.Certificate) (at time.Time) {
	for _, c := range certificates {
		if at.IsZero() || c.NotAfter.Before(at) {
			at = c.NotAfter
		}
	}
	return at
}

// OfPEM returns when the first of the certificates in a text expires; zero if it has none.
func OfPEM(text []byte) (at time.Time) {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return Earliest(all)
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			all = append(all, c)
		}
	}
}

// FindSoon returns the items that expire within [Notice], or have, the first one first.
func FindSoon(items []Item, now time.Time) (soon []Item) {
	for _, i := range items {
		if i.At.Sub(now) < Notice {
			soon = append(soon, i)
		}
	}
	slices.SortStableFunc(soon, func(a, b Item) int { return a.At.Compare(b.At) })
	return soon
}

// First returns the item that expires first, false if there is none.
func First(items []Item) (first Item, ok bool) {
	if len(items) == 0 {
		return first, false
	}
	return slices.MinFunc(items, func(a, b Item) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Code, b.Code)) }), true
}

// Describe returns one line on an item. It is the same from one day to the next until the item has expired.
func (i *Item) Describe(now time.Time) string {
	verb := "expires"
	if !now.Before(i.At) {
		verb = "expired"
	}
	return fmt.Sprintf("%s %s on %s", i.What, verb, i.At.UTC().Format(time.RFC3339))
}
