package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
)

// runSoakAgent is the agent as "castray" of the test binary is, which prints how many goroutines it has for each line that
// it reads on stdin.
func runSoakAgent(ctx context.Context, args []string) int {
	go func() { // ends with the process: a read of stdin cannot be stopped
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			fmt.Println(runtime.NumGoroutine())
		}
	}()
	t := &tool{stdin: &bytes.Buffer{}, stdout: os.Stderr, stderr: os.Stderr, environ: os.Environ(), machine: testMachine}
	return t.run(ctx, args)
}
