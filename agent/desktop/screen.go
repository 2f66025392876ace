package desktop

import "context"

// Screen tells when this user's screen is locked or unlocked, and at once if it is locked already, until ctx ends; then it
// returns nil. A session that the computer shows no more (another user's is in front, the remote desktop is disconnected)
// counts as locked. An error says why nothing is heard, or nothing any more: on macOS always. Not every desktop says
// anything: a locker that talks neither to logind nor on the session bus goes unheard.
//
// tell is called by one goroutine, only when it has something new to say, and not after Screen has returned.
func Screen(ctx context.Context, tell func(locked bool)) error {
	var now screen
	return watchScreen(ctx, func(w word) {
		was := now.hidden()
		if now = now.after(w); now.hidden() != was {
			tell(now.hidden())
		}
	})
}

// A word is what a system says of the screen.
type word int

const (
	locked word = iota
	unlocked
	left // the session is not shown any more
	back
)

// screen is what is known of it.
type screen struct{ locked, left bool }

func (s screen) hidden() bool { return s.locked || s.left }

// after is the screen once a system has said that. Several say the same in different words, so the last one counts; who
// unlocks is there.
func (s screen) after(w word) screen {
	switch w {
	case locked:
		s.locked = true
	case unlocked:
		return screen{}
	case left:
		s.left = true
	case back:
		s.left = false
	}
	return s
}

// savers are the D-Bus interfaces of screen savers, which have the same signal. Some call a screen that is merely dark
// active; that it is not locked then cannot be told, and who left it dark has left it.
var savers = []string{"org.freedesktop.ScreenSaver", "org.gnome.ScreenSaver", "org.cinnamon.ScreenSaver", "org.mate.ScreenSaver",
	"org.xfce.ScreenSaver"}

const loginSession = "org.freedesktop.login1.Session"

// busWords is what a D-Bus signal says. The properties that changed are plain values.
func busWords(signal string, body []any) []word {
	switch signal {
	case loginSession + ".Lock":
		return []word{locked}
	case loginSession + ".Unlock":
		return []word{unlocked}
	case "org.freedesktop.DBus.Properties.PropertiesChanged":
		if len(body) < 2 || body[0] != loginSession {
			return nil
		}
		changed, _ := body[1].(map[string]any)
		return sessionWords(changed)
	}
	for _, saver := range savers {
		if signal == saver+".ActiveChanged" && len(body) == 1 {
			return either(body[0], locked, unlocked)
		}
	}
	return nil
}

// sessionWords is what properties of a session at logind say.
func sessionWords(properties map[string]any) []word {
	return append(either(properties["LockedHint"], locked, unlocked), either(properties["Active"], back, left)...)
}

func either(value any, yes, no word) []word {
	switch value {
	case true:
		return []word{yes}
	case false:
		return []word{no}
	}
	return nil
}

// wtsWord is what a Windows session says by WM_WTSSESSION_CHANGE.
func wtsWord(code uintptr) (word, bool) {
	const (
		consoleConnect    = 1
		consoleDisconnect = 2
		remoteConnect     = 3
		remoteDisconnect  = 4
		sessionLock       = 7
		sessionUnlock     = 8
	)
	switch code {
	case sessionLock:
		return locked, true
	case sessionUnlock:
		return unlocked, true
	case consoleDisconnect, remoteDisconnect:
		return left, true
	case consoleConnect, remoteConnect:
		return back, true
	}
	return 0, false
}
