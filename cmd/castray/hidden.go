package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// readHidden reads a line that is typed at the terminal and not shown there. Where there is no terminal nothing is read:
// what is typed could be seen, or end in a script.
func (t *tool) readHidden(ctx context.Context, prompt string) (string, error) {
	file, ok := t.stdin.(*os.File)
	if !ok {
		return "", errNoTerminal()
	}
	show, err := hideInput(file)
	if err != nil {
		return "", errNoTerminal()
	}
	defer func() {
		show()
		t.say("") // the line break that was typed was not shown either
	}()
	t.say("%s", prompt)
	return t.readLine(ctx)
}

func errNoTerminal() error {
	return failf(exitUsage, "There is no terminal to type at. To take the secret from another program: castray config secret --stdin")
}

// readLine reads a line of the standard input, without its end.
func (t *tool) readLine(ctx context.Context) (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() { // ends with the input or the program: a read of a terminal cannot be broken off
		line, err := bufio.NewReader(io.LimitReader(t.stdin, 64<<10)).ReadString('\n')
		read <- result{line, err}
	}()
	select {
	case r := <-read:
		if r.err != nil && (r.err != io.EOF || r.line == "") {
			return "", failf(exitFailed, "Nothing was entered.")
		}
		return strings.TrimRight(r.line, "\r\n"), nil
	case <-ctx.Done():
		return "", fmt.Errorf("read a line: %w", ctx.Err())
	}
}
