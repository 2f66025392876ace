package config

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// launch reads [launch]. The sites are known by then.
func (b *builder) launch(top scope) {
	l := &b.out.Launch
	l.Port = int(top.value("launch.port").(int64))
	l.Scheme = top.value("launch.scheme").(bool)
	l.HubHandover = top.value("launch.hub_handover").(bool)
	if l.Port == 0 {
		return
	}
	if !tellsCallers(runtime.GOOS) {
		b.warn(top.where("launch.port"), "launch.port", "without effect, since this system does not tell whose program calls; use castray://launch")
		l.Port = 0
		return
	}
	for _, s := range b.out.Sites {
		_, ports, _ := strings.Cut(s.Redirect, ":")
		if slices.Contains(strings.Split(ports, ","), strconv.Itoa(l.Port)) {
			b.problem(top.where("launch.port"), "launch.port", "a site's redirect has the same port")
		}
	}
}

// tellsCallers says whether a system tells whose program is at the other end of a loopback connection.
func tellsCallers(goos string) bool { return goos == "linux" || goos == "windows" }
