package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// hideInput stops a console from showing what is typed until show is called. It fails for what is no console.
func hideInput(file *os.File) (show func(), err error) {
	console := windows.Handle(file.Fd())
	var was uint32
	if err := windows.GetConsoleMode(console, &was); err != nil {
		return nil, err
	}
	if err := windows.SetConsoleMode(console, was&^windows.ENABLE_ECHO_INPUT); err != nil {
		return nil, err
	}
	return func() { _ = windows.SetConsoleMode(console, was) }, nil
}
