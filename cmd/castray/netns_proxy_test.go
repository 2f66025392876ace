//go:build netns && linux

package main_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A gate is the proxy of a street, on the hub's side: it opens ways by CONNECT or refuses them.
type gate struct {
	listener net.Listener
	street   *street
	work     sync.WaitGroup

	mu      sync.Mutex
	refuses string // a status line instead
	asked   []string
	ways    []net.Conn
}

func (s *street) newGate() *gate {
	s.Helper()
	g := &gate{listener: s.listen(hubAddress + ":3128"), street: s}
	g.work.Go(func() {
		for {
			conn, err := g.listener.Accept()
			if err != nil {
				return
			}
			g.work.Go(func() { g.serve(conn) })
		}
	})
	s.Cleanup(func() {
		g.listener.Close()
		g.cut()
		g.work.Wait()
	})
	return g
}

func (g *gate) serve(conn net.Conn) {
	defer conn.Close()
	from := bufio.NewReader(conn)
	r, err := http.ReadRequest(from)
	if err != nil {
		return
	}
	g.mu.Lock()
	g.asked = append(g.asked, r.Method+" "+r.RequestURI)
	g.ways = append(g.ways, conn)
	refuses := g.refuses
	g.mu.Unlock()
	if refuses != "" {
		_, _ = io.WriteString(conn, "HTTP/1.1 "+refuses+"\r\nContent-Length: 0\r\n\r\n")
		return
	}
	var hub net.Conn
	if err := inside(g.street.hubside, func() (err error) { hub, err = net.Dial("tcp", hubAddress+":443"); return err }); err != nil {
		return
	}
	defer hub.Close()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	g.work.Go(func() {
		_, _ = io.Copy(hub, from)
		hub.Close()
	})
	_, _ = io.Copy(conn, hub)
}

func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.ways {
		c.Close()
	}
	g.ways = nil
}

func (g *gate) refuse(status string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuses = status
}

func (g *gate) questions() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.asked)
}

// FM-31: a network that is left by the proxy alone, which also is the only one to know the hub's name. The proxy of the
// environment is taken for everything; where it breaks off or wants a sign-in of its own, the app is told.
func onlyByTheProxy(s *street) {
	g := s.newGate()
	s.names.says("")
	s.atDesk("iptables", "-w", "-I", "OUTPUT", "-p", "tcp", "--dport", "443", "-j", "REJECT")
	s.env = []string{"HTTPS_PROXY=http://" + hubAddress + ":3128"}
	a := s.follows()
	began := time.Now()
	g.cut()
	a.told(began, busy)
	s.hub.opens(s)
	a.right(began, firstTry)
	g.refuse("407 authenticationrequired")
	began = time.Now()
	g.cut()
	a.told(began, busy)
	a.problem("the proxy wants a sign-in of its own (407): the administrator", secondTry)
	asked := g.questions()
	if len(asked) < 3 || slices.ContainsFunc(asked, func(q string) bool { return q != "CONNECT "+hubName+":443" }) {
		s.Errorf("the proxy was asked %v", asked)
	}
}

// FM-31: NO_PROXY takes the hub out.
func proxyNotForTheHub(s *street) {
	g := s.newGate()
	g.refuse("407 no")
	s.env = []string{"https_proxy=http://" + hubAddress + ":3128", "no_proxy=.example.test"}
	s.follows()
	if asked := g.questions(); len(asked) != 0 {
		s.Errorf("the proxy was asked %v", asked)
	}
}
