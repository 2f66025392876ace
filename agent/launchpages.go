package agent

import "github.com/castray/castray/oauth"

// The pages that answer a launch. They are made of our own constants: nothing of a request is ever in one.
var (
	pageTaken = oauth.Page{Sign: "busy", Title: "Castray is launched",
		Text: "The sign-in page opens by itself. If none has opened in a minute, look at the Castray icon: it says why. This tab can be closed."}
	pageAsks = oauth.Page{Sign: "busy", Title: "Castray asks you first",
		Text: "Open the menu of the Castray icon, and accept this launch there or decline it, within five minutes. This tab can be closed."}
	pageStopping = oauth.Page{Sign: "bad", Title: "Castray is stopping", Text: "Start Castray, then start the launch again from the EHR."}
	pageNothing  = oauth.Page{Sign: "plain", Title: "Nothing here", Text: "There is nothing to see at this address."}
)

// pageOf is the page of a refusal. To another user of the machine it says what to do instead.
func pageOf(why *refusal) oauth.Page {
	text := why.sentence
	if why == refusedCaller {
		text = "This Castray belongs to another user of this computer, or it cannot be told whose browser this is. " +
			"Ask your administrator for launch links that begin with castray://, which find your own."
	}
	return oauth.Page{Sign: "bad", Title: "Not launched", Text: text}
}
