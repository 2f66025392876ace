package ipc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// pipeBuffer is what the system keeps for a reader that is late, each way.
const pipeBuffer = 64 << 10

// listen makes the pipe. Windows itself lets only one process make the first instance of a name.
func listen(name string) (net.Listener, func() error, error) {
	us, err := self()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := Dial(ctx, name)
	switch {
	case err == nil:
		conn.Close("only asked whether an agent runs")
		return nil, nil, ErrInUse
	case errors.Is(err, context.DeadlineExceeded): // every instance is busy
		return nil, nil, ErrInUse
	case !errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("the pipe's name is taken by another user's program: %w", err)
	}
	l, err := winio.ListenPipe(name, &winio.PipeConfig{
		SecurityDescriptor: sddl(us.User), InputBufferSize: pipeBuffer, OutputBufferSize: pipeBuffer,
	})
	switch {
	case errors.Is(err, windows.ERROR_ACCESS_DENIED): // somebody was faster between our dial and here
		return nil, nil, ErrInUse
	case err != nil:
		return nil, nil, err
	}
	return l, func() error { return nil }, nil
}

// dial connects so that the server may learn who we are, but cannot act in our name.
func dial(ctx context.Context, name string) (net.Conn, error) {
	return winio.DialPipeAccessImpLevel(ctx, name, windows.GENERIC_READ|windows.GENERIC_WRITE, winio.PipeImpLevelIdentification)
}

// nobodyThere tells that no agent listens: no pipe of that name, or nothing at the port.
func nobodyThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, windows.WSAECONNREFUSED)
}
