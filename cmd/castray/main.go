// Command castray is the one program of Castray: the agent with its tray, and the commands by which people and scripts
// talk to an agent that runs.
//
// The commands are thin. What the agent does is in package agent, what the tray shows in agent/tray, what a command asks
// for in ipc/protocol; here is who asks whom, what is printed and with which code the program ends (DESIGN 3.1).
//
// No state outlives a command. While the agent runs with a tray, the main goroutine belongs to the tray.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/agent/desktop"
)

func main() {
	ctx, stop := untilSignalled()
	context.AfterFunc(ctx, stop) // whoever asks a second time does not wait for a polite end
	t := &tool{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), machine: thisMachine}
	os.Exit(t.run(ctx, os.Args[1:]))
}

// untilSignalled is a context that ends when somebody asks the program to: by Ctrl-C, at log-off (SIGTERM, and what Windows
// tells a program with a console), or when the terminal is closed (SIGHUP). Whoever started it so that it outlives the
// terminal (nohup) has had SIGHUP ignored, and that stays so.
func untilSignalled() (context.Context, context.CancelFunc) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signal.NotifyContext(context.Background(), signals...)
}

// A tool is one run of the program: what it reads and prints, and what the global flags said.
type tool struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	machine        func(*agent.Config) // fills in the keychain, the browser and the screen

	writing sync.Mutex // over both outputs

	configFile string // --config
	socket     string // --socket
	json       bool   // --json
}

// thisMachine gives an agent the keychain, the browser and the screen of the operating system.
func thisMachine(c *agent.Config) {
	c.Store = agent.Keychain()
	c.Screen = desktop.Screen
	c.OpenURL = systemBrowser()
}
