package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The program that the README prints is the one that is run by a test, to the letter (follow_desktop_test.go).
func TestTheProgramInTheREADMEIsTheOneThatIsTested(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("testdata/follow.py")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "<!-- follow.py -->\n```python\n"+string(program)+"```\n") {
		t.Error("README.md does not hold testdata/follow.py after its mark")
	}
	if n := strings.Count(string(program), "\n"); n > 15 {
		t.Errorf("it has %d lines, and is promised to have 15", n)
	}
	for _, line := range regexp.MustCompile(`(?m)^.*\bimport\b.*$`).FindAllString(string(program), -1) {
		if line != "import json, os, socket" {
			t.Errorf("%q: is that in Python's standard library?", line)
		}
	}
}
