// Command tally reads the JSON of one go test run from standard input, prints what a person wants to see of it (a line
// for each package, the whole output of what failed, the reason of what was skipped), and appends its counts to a file:
//
//	go test -json ./... | go run ./.ci/tally counts
//
// It exits 1 if anything failed or if no test ran at all. `tally -sum counts` prints the file's total as one line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is what test2json writes, as far as it is read here.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Elapsed    float64
	Output     string
}

type counts struct{ passed, failed, skipped int }

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "-sum":
		err = printSum(os.Args[2])
	case len(os.Args) == 2:
		err = run(os.Stdin, os.Stdout, os.Args[1])
	default:
		err = fmt.Errorf("usage: tally FILE, or tally -sum FILE")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, file string) error {
	c, err := read(in, out)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	fmt.Fprintln(f, c.passed, c.failed, c.skipped)
	if err := f.Close(); err != nil {
		return err
	}
	switch {
	case c.failed > 0:
		return fmt.Errorf("%d failed", c.failed)
	case c.passed == 0:
		return fmt.Errorf("no test ran")
	}
	return nil
}

// read prints and counts. A package that fails without a failing test (it does not build, a leak check found something,
// the process died) counts as one failure.
func read(in io.Reader, out io.Writer) (counts, error) {
	var c counts
	output := map[string][]string{} // by package and test
	failed := map[string]bool{}     // packages with a failing test
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				out.Write(line) // not from test2json: go itself complains
			} else {
				c.add(e, output, failed, out)
			}
		}
		if err == io.EOF {
			return c, nil
		}
		if err != nil {
			return c, err
		}
	}
}

func (c *counts) add(e event, output map[string][]string, failed map[string]bool, out io.Writer) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		output[key] = append(output[key], e.Output)
	case "build-output":
		fmt.Fprint(out, e.Output)
	case "pass":
		if e.Test != "" {
			c.passed++
		} else {
			fmt.Fprintf(out, "ok   %s %.1fs\n", e.Package, e.Elapsed)
		}
	case "skip":
		if e.Test != "" {
			c.skipped++
			fmt.Fprintf(out, "skip %s\n%s", key, strings.Join(output[key], ""))
		}
	case "fail":
		if e.Test != "" || !failed[e.Package] {
			c.failed++
		}
		failed[e.Package] = true
		fmt.Fprintf(out, "FAIL %s\n%s", key, strings.Join(output[key], ""))
	}
	if e.Action != "output" {
		delete(output, key)
	}
}

func printSum(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var sum counts
	for {
		var c counts
		if _, err := fmt.Fscanln(f, &c.passed, &c.failed, &c.skipped); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		sum.passed, sum.failed, sum.skipped = sum.passed+c.passed, sum.failed+c.failed, sum.skipped+c.skipped
	}
	_, err = fmt.Printf("%d passed, %d failed, %d skipped\n", sum.passed, sum.failed, sum.skipped)
	return err
}
