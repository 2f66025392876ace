//go:build linux && !race

package main

const soakRace = false
