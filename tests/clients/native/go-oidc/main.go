// People log in with go-oidc and golang.org/x/oauth2.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// visit is what the server keeps of one browser.
type visit struct {
	state, nonce, verifier, idToken string
	token                           *oauth2.Token
	claims                          map[string]any
}

var (
	issuer, base = os.Getenv("ISSUER"), os.Getenv("BASE")
	visits       sync.Map // by cookie; a real service lets them expire
	provider     *oidc.Provider
	config       oauth2.Config
)

func login(w http.ResponseWriter, r *http.Request) {
	v := &visit{state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier()}
	id := rand.Text()
	visits.Store(id, v)
	http.SetCookie(w, &http.Cookie{
		Name: "visit", Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(base, "https:"),
	})
	http.Redirect(w, r, config.AuthCodeURL(v.state, oidc.Nonce(v.nonce),
		oauth2.S256ChallengeOption(v.verifier)), http.StatusFound)
}

func callback(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query()
	if q.Get("state") != v.state || q.Get("iss") != issuer { // RFC 9207
		return errors.New("this is not the answer to our question")
	}
	if q.Has("error") {
		return errors.New("not logged in: " + q.Get("error"))
	}
	token, err := config.Exchange(r.Context(), q.Get("code"), oauth2.VerifierOption(v.verifier))
	if err != nil {
		return err
	}
	return v.take(r.Context(), token)
}

// take checks the tokens of a login or a refresh and reads the claims.
func (v *visit) take(ctx context.Context, token *oauth2.Token) error {
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return err
	}
	if v.token == nil && id.Nonce != v.nonce {
		return errors.New("the nonce is not ours")
	}
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return err
	}
	v.idToken, v.token, v.claims = raw, token, nil
	return errors.Join(id.Claims(&v.claims), info.Claims(&v.claims)) // both into one map
}

func refresh(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.token == nil {
		return errors.New("nobody is logged in")
	}
	old := &oauth2.Token{RefreshToken: v.token.RefreshToken} // no access token: fetch one
	token, err := config.TokenSource(r.Context(), old).Token()
	if err != nil {
		return err
	}
	return v.take(r.Context(), token)
}

func logout(w http.ResponseWriter, r *http.Request) {
	q := url.Values{"post_logout_redirect_uri": {base + "/"}}
	if v := visitOf(r); v != nil {
		q.Set("id_token_hint", v.idToken)
		v.claims = nil
	}
	http.Redirect(w, r, issuer+"/logout?"+q.Encode(), http.StatusSeeOther)
}

func home(w http.ResponseWriter, r *http.Request) {
	if v := visitOf(r); v != nil && v.claims != nil {
		json.NewEncoder(w).Encode(v.claims)
		return
	}
	w.Header().Set("Content-Type", "text/html")
	w.Write([]byte(`<a href="/login">Log in</a>`))
}

// api is no login: it takes access tokens of programs.
func api(w http.ResponseWriter, r *http.Request) {
	raw := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	token, err := provider.Verifier(&oidc.Config{ClientID: issuer}).Verify(r.Context(), raw)
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "invalid token", http.StatusUnauthorized)
		return
	}
	var claims map[string]any // client_id, scope, realm_access.roles
	if err := token.Claims(&claims); err == nil {
		json.NewEncoder(w).Encode(claims)
	}
}

func visitOf(r *http.Request) *visit {
	if c, err := r.Cookie("visit"); err == nil {
		if v, ok := visits.Load(c.Value); ok {
			return v.(*visit)
		}
	}
	return nil
}

// visited shows home after f, or what went wrong.
func visited(f func(http.ResponseWriter, *http.Request, *visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := visitOf(r)
		if v == nil {
			http.Error(w, "no login was begun in this browser", http.StatusBadRequest)
		} else if err := f(w, r, v); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		} else {
			http.Redirect(w, r, "/", http.StatusSeeOther)
		}
	}
}

func main() {
	var err error
	if provider, err = oidc.NewProvider(context.Background(), issuer); err != nil {
		log.Fatal(err)
	}
	config = oauth2.Config{
		ClientID:     os.Getenv("CLIENT_ID"),
		ClientSecret: os.Getenv("CLIENT_SECRET"),
		Endpoint:     provider.Endpoint(),
		RedirectURL:  base + "/callback",
		Scopes:       []string{oidc.ScopeOpenID, "profile", "email"},
	}
	http.HandleFunc("/login", login)
	http.HandleFunc("/callback", visited(callback))
	http.HandleFunc("/refresh", visited(refresh))
	http.HandleFunc("/logout", logout)
	http.HandleFunc("/api", api)
	http.HandleFunc("/{$}", home)
	log.Fatal(http.ListenAndServe(strings.TrimPrefix(base, "http://"), nil))
}
