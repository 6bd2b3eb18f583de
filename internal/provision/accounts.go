package provision

import (
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/wazuh-pulse/pulse/event"
)

// The accounts, by their names.
const (
	systemAccount  = "SYS"
	streamsAccount = "PULSE" // has the streams and buckets
	nodesAccount   = "NODES"
	readersAccount = "XDR"
)

var accountNames = []string{systemAccount, streamsAccount, nodesAccount, readersAccount}

// accountClaims are all accounts as they should be, by name.
func accountClaims(s *state) map[string]*jwt.AccountClaims {
	all := make(map[string]*jwt.AccountClaims)
	for _, name := range accountNames {
		c := jwt.NewAccountClaims(s.Accounts[name])
		c.Name = name
		for _, r := range s.Revoked {
			if r.Account == name {
				c.RevokeAt(r.Key, r.At)
			}
		}
		all[name] = c
	}
	prefix := event.Prefix(s.Prefix)
	streams, nodes, readers := all[streamsAccount], all[nodesAccount], all[readersAccount]
	streams.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit,
		Consumer: jwt.NoLimit}
	// Readers hear nodes live: the server hands no message that came as a request on to a third account.
	nodes.Exports.Add(&jwt.Export{Name: "live messages", Subject: jwt.Subject(prefix.All()), Type: jwt.Stream})
	readers.Imports.Add(&jwt.Import{Name: "live messages", Subject: jwt.Subject(prefix.All()), Account: nodes.Subject, Type: jwt.Stream})

	forNodes := slices.Concat(told(prefix), keptByNodes(), learnt)
	offer(streams, forNodes)
	use(nodes, streams, forNodes)
	offer(streams, readByReaders())
	use(readers, streams, readByReaders())
	offer(nodes, asked())
	use(readers, nodes, asked())
	return all
}

// offer exports services, but for those that are exported already.
func offer(from *jwt.AccountClaims, services []service) {
	for _, s := range services {
		if exports(from, s.subject) {
			continue
		}
		e := &jwt.Export{Name: s.subject, Subject: jwt.Subject(s.subject), Type: jwt.Service, ResponseType: jwt.ResponseTypeSingleton, ResponseThreshold: s.within}
		if s.streamed {
			e.ResponseType = jwt.ResponseTypeStream
		}
		from.Exports.Add(e)
	}
}

func exports(from *jwt.AccountClaims, service string) bool {
	return slices.ContainsFunc(from.Exports, func(e *jwt.Export) bool { return e.Type == jwt.Service && string(e.Subject) == service })
}

func use(by, from *jwt.AccountClaims, services []service) {
	for _, s := range services {
		by.Imports.Add(&jwt.Import{Name: s.subject, Subject: jwt.Subject(s.subject), Account: from.Subject, Type: jwt.Service})
	}
}

// encode signs claims, which have to be without a fault.
func encode(claims jwt.Claims, by nkeys.KeyPair) (string, error) {
	var results jwt.ValidationResults
	claims.Validate(&results)
	if err := errors.Join(results.Errors()...); err != nil {
		return "", fmt.Errorf("make the JWT of %s: %w", claims.Claims().Name, err)
	}
	token, err := claims.Encode(by)
	if err != nil {
		return "", fmt.Errorf("make the JWT of %s: %w", claims.Claims().Name, err)
	}
	return token, nil
}
