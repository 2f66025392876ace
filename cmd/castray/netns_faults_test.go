//go:build netns && linux

package main_test

import (
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// atOnce is the bar for being told of what the system notices by itself: half of the times, since other tests run
	// beside these. No time is longer than busy.
	atOnce = 100 * time.Millisecond
	busy   = time.Second
	// firstTry is when the first try after a loss has come to something: its window, and a second to connect.
	firstTry = 6 * time.Second
	// secondTry is the same for the second, if the first has failed.
	secondTry = firstTry + 11*time.Second
	// aLook is how often the agent looks at clocks and networks, and how long it takes to tell.
	aLook = 5*time.Second + busy
)

// FM-01: the connection is reset, here by the workstation's own system, and by a middlebox.
func resets(s *street) {
	a := s.follows()
	var took []time.Duration
	for again := range 2 { // each loss within a minute after the last doubles the window of the next try
		began := time.Now()
		s.atDesk("ss", "-K", "dst", hubAddress)
		took = append(took, a.told(began, busy))
		s.hub.opens(s)
		a.right(began, firstTry<<again)
	}
	s.atDesk("iptables", "-w", "-I", "OUTPUT", "-p", "tcp", "--dport", "443", "-j", "REJECT", "--reject-with", "tcp-reset")
	began := time.Now()
	onTheWay := s.hub.opens(s) // what the agent says to this, the middlebox resets
	took = append(took, a.told(began, busy))
	if slices.Sort(took); took[1] > atOnce {
		s.Errorf("told after %v", took)
	}
	began = time.Now()
	s.atDesk("iptables", "-w", "-F", "OUTPUT")
	a.right(began, firstTry<<2, onTheWay)
}

// FM-02: nothing goes either way, and nobody says so. What is opened meanwhile the app gets afterwards, once.
func blackHole(s *street) {
	a := s.follows()
	began := time.Now()
	s.atDesk("iptables", "-w", "-I", "INPUT", "-j", "DROP")
	s.atDesk("iptables", "-w", "-I", "OUTPUT", "-j", "DROP")
	missed := s.hub.opens(s)
	s.hub.opens(s)
	a.told(began, 25*time.Second+busy)
	began = time.Now()
	s.atDesk("iptables", "-w", "-F")
	a.right(began, secondTry, missed)
}

// FM-05: the hub's name is looked up for every try: it is not there, nobody answers, and then it is another address.
func namesAndAddresses(s *street) {
	a := s.follows()
	s.names.says("")
	began := time.Now()
	s.atDesk("ss", "-K", "dst", hubAddress)
	a.told(began, busy)
	a.problem("name is not known here", firstTry)
	asked := s.names.says("-")
	a.problem("no name server answers", secondTry)
	if s.names.questions() == asked {
		s.Error("the name was not looked up again")
	}
	s.names.says(secondAddress)
	s.hub.opens(s)
	began = time.Now()
	a.right(began, secondTry+20*time.Second)
	if via := s.hub.lastVia(); via != secondAddress {
		s.Errorf("the hub was reached at %s", via)
	}
}

// FM-06: the lid is closed, and when it opens the network is there again: the agent does not trust what it held before.
func stoppedWithTheCablePulled(s *street) {
	a := s.follows()
	s.signal(syscall.SIGSTOP)
	s.must("ip", "-n", s.desk, "link", "set", "v0", "down")
	missed := s.hub.opens(s)
	pause := time.NewTimer(17 * time.Second)
	defer pause.Stop()
	<-pause.C
	s.hub.opens(s)
	s.must("ip", "-n", s.desk, "link", "set", "v0", "up")
	began := time.Now()
	s.signal(syscall.SIGCONT)
	a.told(began, busy)
	a.right(began, 5*time.Second, missed)
	if !strings.Contains(s.log(), "perhaps by a sleep") {
		s.Error("the agent did not notice that it was stopped")
	}
}

// FM-08: the workstation is somewhere else, with another address and another way to the hub, and then its cable is pulled
// and put back. Neither end closes anything.
func anotherNetwork(s *street) {
	a := s.follows()
	began := time.Now()
	s.must("ip", "-n", s.hubside, "addr", "add", "10.77.0.1/24", "dev", "v0")
	s.must("ip", "-n", s.desk, "addr", "del", deskAddress+"/24", "dev", "v0")
	s.must("ip", "-n", s.desk, "addr", "add", "10.77.0.9/24", "dev", "v0")
	s.must("ip", "-n", s.desk, "route", "add", "default", "via", "10.77.0.1")
	a.told(began, aLook)
	s.hub.opens(s)
	a.right(began, aLook+3*time.Second)

	began = time.Now()
	s.must("ip", "-n", s.desk, "link", "set", "v0", "down")
	a.told(began, aLook)
	s.hub.opens(s)
	s.must("ip", "-n", s.desk, "link", "set", "v0", "up")
	s.must("ip", "-n", s.desk, "route", "add", "default", "via", "10.77.0.1") // which went with the link
	a.right(time.Now(), aLook+3*time.Second)
}

// FM-08: a guest network answers every request with its web page. No part of it is taken for the hub, and it is said.
func captivePortal(s *street) {
	a := s.follows()
	s.hub.portal.Store(true)
	began := time.Now()
	s.atDesk("ss", "-K", "dst", hubAddress)
	a.told(began, busy)
	a.problem("a web page answered in the hub's place", firstTry)
	s.hub.portal.Store(false)
	s.hub.opens(s)
	a.right(time.Now(), secondTry)
	if strings.Contains(s.log(), "guest network") {
		s.Error("the log repeats the page")
	}
}
