// Package config says what Castray is set to, and who said so.
//
// One table names every key once: type, default, allowed words, help, and which sources may set it. Loading, the
// reference in docs/configuration.md, the JSON schema and the starter file all come from that table. Sources, strongest
// first: policy, flags, CASTRAY_<TABLE>_<KEY>, the user's file, the machine's file, the preset of a hub, defaults.
//
// A configuration that cannot be what its writer meant is refused as a whole: an unknown key, a wrong type, a file with
// a topic in it that others may read. So is a rule that this version does not enforce yet; nobody shall believe that
// a policy is in force when it is not. No error repeats a value, since any value may be a topic in the wrong place.
//
// The package reads files and starts nothing. It leaves to others: where the agent keeps state, watching for changes,
// signing in. A [Config] does not change once loaded and may be shared between goroutines.
package config
