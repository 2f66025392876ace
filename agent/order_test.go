package agent_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// An app that asks, and answers what it was sent before only afterwards, both in one breath, was not yet where it asked to
// go when it asked: it gets the echo.
func TestS9_WhatAnAppAskedAndAnsweredIsTakenInItsOrder(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.phase(protocol.PhaseNoContext)
	pipe, err := net.Dial("unix", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if err := pipe.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	say := func(format string, a ...any) {
		if _, err := fmt.Fprintf(pipe, format, a...); err != nil {
			t.Fatal(err)
		}
	}
	say(`{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1,"name":"raw","answers":true,"key":%q}}`+"\n", w.key())
	const patient = `[{"key":"patient","resource":{"resourceType":"Patient","id":"x1","identifier":[{"system":"urn:x","value":"1"}]}}]`
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		var m struct {
			ID     int
			Method string
			Params struct{ ID string }
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		switch {
		case m.Method == protocol.MethodClear:
			say(`{"jsonrpc":"2.0","id":%d,"result":{"status":200}}`+"\n", m.ID)
			w.opens("Patient", "p01")
		case m.Method == protocol.MethodEvent && m.Params.ID == "q1":
			return // the echo
		case m.Method == protocol.MethodEvent:
			say(`{"jsonrpc":"2.0","id":2,"method":"send","params":{"id":"q1","event":"Patient-open","context":%s}}`+"\n"+
				`{"jsonrpc":"2.0","id":%d,"result":{"status":200}}`+"\n", patient, m.ID)
		}
	}
	t.Error("the echo was withheld")
}
