// Relaybench is the other side of the benchmark (make bench): a relay that does nothing but relay, which is the limit,
// and a native app that reads from it and from the agent.
//
//	relaybench raw URL CA_FILE SOCKET    a hub's socket copied to one reader, a line an event
//	relaybench app AGENT_SOCKET [RAW_SOCKET]
//
// The app answers events 200 to the agent. For each line it reads on stdin it prints what it has measured since the last,
// as JSON. It takes the send time from the events' ids, in CLOCK_MONOTONIC, which is one for all processes of a machine.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"
)

func main() {
	switch args := os.Args[1:]; {
	case len(args) == 4 && args[0] == "raw":
		log.Fatal(raw(args[1], args[2], args[3]))
	case len(args) >= 2 && args[0] == "app":
		app(args[1:])
	default:
		log.Fatal("usage: relaybench raw URL CA_FILE SOCKET | relaybench app AGENT_SOCKET [RAW_SOCKET]")
	}
}

// raw copies bytes. It waits for its reader first, so that no event is lost.
func raw(url, caFile, socket string) error {
	ln, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	reader, err := ln.Accept()
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	hub, _, err := (&websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: roots}}).Dial(url, nil)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	for {
		_, r, err := hub.NextReader()
		if err != nil {
			return err
		}
		buf.Reset()
		if _, err := buf.ReadFrom(r); err != nil {
			return err
		}
		buf.WriteByte('\n')
		if _, err := reader.Write(buf.Bytes()); err != nil {
			return err
		}
	}
}

// A way is one of the two ways on which events come, and what was measured on it.
type way struct {
	mu    sync.Mutex
	Ages  []int64 // ns from the hub's write to the app's read, in the order of arrival
	First int64   // when the first event came, a snapshot too
	Last  int64   // when the last one came
	Ended string  // why no more come
}

func app(sockets []string) {
	ways := make([]way, 2)
	for i, socket := range sockets {
		go ways[i].read(socket, i == 0)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		for i := range ways {
			w := &ways[i]
			w.mu.Lock()
			json.NewEncoder(os.Stdout).Encode(w)
			w.Ages, w.First, w.Last = nil, 0, 0
			w.mu.Unlock()
		}
	}
}

func (w *way) read(socket string, agent bool) {
	err := w.follow(dial(socket), agent)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Ended = err.Error()
}

// dial waits for the other side to be there.
func dial(socket string) net.Conn {
	for {
		if c, err := net.Dial("unix", socket); err == nil {
			return c
		}
		time.Sleep(100 * time.Microsecond)
	}
}

func (w *way) follow(c net.Conn, agent bool) error {
	if agent {
		if _, err := fmt.Fprintln(c, `{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1,"name":"viewer","answers":true}}`); err != nil {
			return err
		}
	}
	in := bufio.NewReaderSize(c, 64<<10)
	var line, answer []byte
	for {
		line = line[:0]
		for {
			part, err := in.ReadSlice('\n')
			line = append(line, part...)
			if err == nil {
				break
			}
			if err != bufio.ErrBufferFull {
				return err
			}
		}
		now := monotonic()
		if !agent {
			w.note(now, line)
			continue
		}
		id, method, asked := request(line)
		if method == "event" {
			w.note(now, line)
		}
		if asked {
			answer = append(append(append(answer[:0], `{"jsonrpc":"2.0","id":`...), id...), `,"result":{"status":200}}`+"\n"...)
			if _, err := c.Write(answer); err != nil {
				return err
			}
		}
	}
}

// note measures an event by the digits in its id. A snapshot has none.
func (w *way) note(now int64, line []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.First == 0 {
		w.First = now
	}
	_, rest, ok := bytes.Cut(line[:min(len(line), 512)], []byte(`"id":"bench-`))
	if !ok {
		return
	}
	sent, err := strconv.ParseInt(string(rest[:20]), 10, 64)
	if err != nil {
		log.Fatal("an event with another id than was sent")
	}
	w.Ages = append(w.Ages, now-sent)
	w.Last = now
}

// request reads the members that the agent writes first: the id, if an answer is asked for, and the method.
func request(line []byte) (id []byte, method string, asked bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"jsonrpc":"2.0",`))
	if !ok {
		return nil, "", false
	}
	if number, ok := bytes.CutPrefix(rest, []byte(`"id":`)); ok {
		id, rest, asked = bytes.Cut(number, []byte(","))
	}
	name, ok := bytes.CutPrefix(rest, []byte(`"method":"`))
	name, _, _ = bytes.Cut(name, []byte(`"`))
	return id, string(name), asked && ok
}

func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		log.Fatal(err)
	}
	return t.Nano()
}
