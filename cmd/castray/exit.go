package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/castray/castray/ipc/protocol"
)

// The exit codes, which scripts read (DESIGN 3.1, docs/commands.md).
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitNoAgent = 3
	exitSignin  = 4 // sign-in needed
	exitRefused = 5 // by the hub, a policy, an app or the user
)

// A failure is an end with its exit code and what a person is told: the cause and the next step.
type failure struct {
	code     int
	sentence string
}

func (f *failure) Error() string { return f.sentence }

func failf(code int, format string, args ...any) error {
	return &failure{code, fmt.Sprintf(format, args...)}
}

func usagef(format string, args ...any) error { return failf(exitUsage, format, args...) }

// judge says what an error means for the exit code and in words.
func judge(err error) (code int, sentence string) {
	var told *failure
	var refused *protocol.Error
	switch {
	case errors.As(err, &told):
		return told.code, told.sentence
	case errors.As(err, &refused):
		return judgeAnswer(refused)
	case errors.Is(err, net.ErrClosed):
		return exitNoAgent, "The agent has stopped. Start it with: castray run"
	case errors.Is(err, context.DeadlineExceeded):
		return exitFailed, "The agent does not answer. If it stays so, end it and start it again with: castray run"
	case errors.Is(err, context.Canceled):
		return exitFailed, "Interrupted."
	case diskFull(err, runtime.GOOS):
		return exitFailed, "The disk is full" + where(err) + ". Make room there and start it again."
	}
	return exitFailed, "castray: " + err.Error()
}

// diskFull tells whether a file could not be written for want of room. Windows has a number of its own for it.
func diskFull(err error, system string) bool {
	var n syscall.Errno
	const windowsDiskFull = 112
	return errors.As(err, &n) && (n == syscall.ENOSPC || system == "windows" && n == windowsDiskFull)
}

func where(err error) string {
	var file *fs.PathError
	if errors.As(err, &file) {
		return " where " + filepath.Dir(file.Path) + " lies"
	}
	return ""
}

// judgeAnswer is for errors that the agent answered with. Its message is a sentence already.
func judgeAnswer(e *protocol.Error) (code int, sentence string) {
	switch e.Code {
	case protocol.CodeSigninNeeded:
		return exitSignin, e.Message + " Sign in with: castray login"
	case protocol.CodeRefused, protocol.CodeNotGranted, protocol.CodeNotAllowed:
		return exitRefused, e.Message
	case protocol.CodeInvalidParams:
		return exitUsage, e.Message
	}
	return exitFailed, e.Message
}
