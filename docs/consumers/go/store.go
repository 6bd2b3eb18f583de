package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"

	_ "modernc.org/sqlite" // the driver

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/seal"
)

// store is the database: the agents, every message that was accepted, and the guard's
// state.
type store struct{ *sql.DB }

const tables = `
CREATE TABLE IF NOT EXISTS agents (id TEXT PRIMARY KEY, name TEXT, status TEXT, reason TEXT, since INTEGER, node TEXT);
CREATE TABLE IF NOT EXISTS messages (node TEXT, epoch INTEGER, sequence INTEGER, subject TEXT, PRIMARY KEY (node, epoch, sequence));
CREATE TABLE IF NOT EXISTS guard (one INTEGER PRIMARY KEY CHECK (one = 1), state BLOB);`

func openStore(ctx context.Context, path string) (*store, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, tables); err != nil {
		db.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &store{db}, nil
}

// readGuard returns the guard as it was stored; a new one the first time.
func (s *store) readGuard(ctx context.Context) (*seal.Guard, error) {
	var state []byte
	err := s.QueryRowContext(ctx, "SELECT state FROM guard").Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return seal.NewGuard(seal.GuardConfig{}), nil
	}
	if err != nil {
		return nil, err
	}
	return seal.RestoreGuard(seal.GuardConfig{}, state)
}

// storeBatch stores what messages say together with the guard that accepted them.
func (s *store) storeBatch(ctx context.Context, messages []*seal.Opened, guard *seal.Guard) error {
	tx, err := s.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // without effect after the commit
	for _, m := range messages {
		if err := storeMessage(ctx, tx, m); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO guard VALUES (1, ?)", guard.State()); err != nil {
		return err
	}
	return tx.Commit()
}

func storeMessage(ctx context.Context, tx *sql.Tx, opened *seal.Opened) error {
	s := &opened.Security
	// Without OR REPLACE: a second message of one number would be an error.
	if _, err := tx.ExecContext(ctx, "INSERT INTO messages VALUES (?, ?, ?, ?)", s.Node, int64(s.Epoch), int64(s.Sequence), s.Subject); err != nil {
		return fmt.Errorf("message %s: %w", s.ID(), err)
	}
	switch m := opened.Message.(type) {
	case *event.StatusChangeMessage:
		c := &m.StatusChange
		if s.Subject == event.Prefix(event.DefaultPrefix).AgentDisconnected() {
			log.Printf("ALERT level %d: agent %s %q: %s", c.AlertLevel, c.AgentID, c.AgentName, c.Reason)
			return nil // the same as the status change
		}
		log.Printf("agent %s %q: %s (%s)", c.AgentID, c.AgentName, c.CurrentStatus, c.Reason)
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO agents VALUES (?, ?, ?, ?, ?, ?)",
			c.AgentID, c.AgentName, c.CurrentStatus.String(), string(c.Reason), c.Timestamp, s.Node)
		return err
	case *event.FleetOutageMessage, *event.AgentFlappingMessage, *event.NodeConditionMessage, *event.NodeLostMessage, *event.AgentDuplicatedMessage:
		log.Printf("ALERT on %s", s.Subject)
	}
	return nil
}
