package oauth

// A notice is what one page of the browser says, for somebody who came to work and not to read. Lines are HTML of ours;
// in braces stand facts. The first line is the heading. What Castray itself says exists in English only, and so do the
// words of its menu: they are marked, so that a screen reader pronounces them.
type notice struct {
	sign   string
	en, de []string
}

var (
	noticeSignedIn = notice{"good",
		[]string{
			"You are signed in",
			"Castray is signed in as <strong>{user}</strong>.",
			"Site: {site}",
			"You may close this tab. Castray goes on by itself.",
			"If you are not {user}, choose <strong>Sign out</strong> in Castray's menu before you go on.",
			"{warning}",
		},
		[]string{
			"Sie sind angemeldet",
			"Castray ist angemeldet als <strong>{user}</strong>.",
			"Standort: {site}",
			"Sie können diesen Tab schließen. Castray arbeitet von selbst weiter.",
			`Wenn Sie nicht {user} sind, wählen Sie im Menü von Castray <strong lang="en">Sign out</strong>, bevor Sie weiterarbeiten.`,
			`<span lang="en">{warning}</span>`,
		}}
	noticeNotSignedIn = notice{"bad",
		[]string{
			"Not signed in",
			"{reason}",
			"The sign-in server says: <q>{said}</q>",
			`<a href="{help}" rel="noreferrer">More about this from the sign-in server</a>`,
			"To try again, choose <strong>Sign in</strong> in Castray's menu. You may close this tab.",
		},
		[]string{
			"Nicht angemeldet",
			`Castray meldet: <span lang="en">{reason}</span>`,
			"Der Anmeldeserver schreibt dazu: <q>{said}</q>",
			`<a href="{help}" rel="noreferrer">Mehr dazu vom Anmeldeserver</a>`,
			`Um es noch einmal zu versuchen, wählen Sie im Menü von Castray <strong lang="en">Sign in</strong>. Diesen Tab können Sie schließen.`,
		}}
	noticeBusy = notice{"busy",
		[]string{
			"One moment",
			"Castray is finishing the sign-in. This page goes on by itself.",
			"If this computer asks for the password of its keychain, please enter it there.",
		},
		[]string{
			"Einen Moment",
			"Castray schließt die Anmeldung ab. Diese Seite geht von selbst weiter.",
			"Wenn dieser Rechner nach dem Passwort seines Schlüsselbunds fragt, geben Sie es bitte dort ein.",
		}}
	noticeSuperseded = notice{"plain",
		[]string{
			"An older sign-in",
			"Another sign-in was started after this one, or this one has ended. You may close this tab.",
		},
		[]string{
			"Eine ältere Anmeldung",
			"Nach dieser Anmeldung hat eine andere begonnen, oder diese ist zu Ende. Sie können diesen Tab schließen.",
		}}
	noticeStateless = notice{"bad",
		[]string{
			"Not signed in",
			"The sign-in server reports a problem.",
			"If no sign-in page is open any more, choose <strong>Sign in</strong> in Castray's menu. You may close this tab.",
		},
		[]string{
			"Nicht angemeldet",
			"Der Anmeldeserver meldet ein Problem.",
			`Wenn keine Anmeldeseite mehr offen ist, wählen Sie im Menü von Castray <strong lang="en">Sign in</strong>. Diesen Tab können Sie schließen.`,
		}}
	noticeNeutral = notice{"plain",
		[]string{"Nothing here", "There is nothing to see at this address."},
		[]string{"Hier ist nichts", "An dieser Adresse gibt es nichts zu sehen."}}
)
