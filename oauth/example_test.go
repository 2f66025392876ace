package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/castray/castray/oauth"
)

// A restart goes on with the stored sign-in; only where there is none does a browser open. The tokens stay inside: the
// client signs what goes to the granted servers.
func ExampleLauncher() {
	ctx := context.Background()
	launcher := &oauth.Launcher{
		Site: oauth.Site{FHIRURL: "https://ehr.example.org/fhir", ClientID: "castray", Scopes: []string{"openid", "fhircast/Patient-open.read"}},
		OpenURL: func(context.Context, string) error {
			return errors.New("no browser here")
		},
	}
	session, err := launcher.Resume(ctx)
	if errors.Is(err, oauth.ErrLoginNeeded) {
		fmt.Println("somebody has to sign in")
		return
	}
	if err != nil {
		fmt.Println(oauth.Sentence(err))
		return
	}
	var client *http.Client = session.Client()
	fmt.Println(client != nil)
	// Output: somebody has to sign in
}

func ExampleSecret() {
	token := oauth.NewSecret("opens-doors")
	fmt.Printf("%v %+v %q\n", token, struct{ Token oauth.Secret }{token}, token)
	// Output: [secret] {Token:[secret]} [secret]
}
