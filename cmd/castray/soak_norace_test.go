//go:build !race

package main

const soakRace = false
