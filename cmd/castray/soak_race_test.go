//go:build linux && race

package main

// soakRace: with the race detector programs are several times slower and larger, so times and memory are not judged.
const soakRace = true
