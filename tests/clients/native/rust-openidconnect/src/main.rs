//! People log in with openidconnect 4.

use std::collections::HashMap;
use std::env;

use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreIdToken, CoreTokenResponse, CoreUserInfoClaims,
};
use openidconnect::url::Url;
use openidconnect::{
    reqwest, AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, LogoutRequest, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl,
    ProviderMetadataWithLogout, RedirectUrl, RefreshToken, Scope, TokenResponse,
};
use tiny_http::{Header, Request, Response, Server};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What the server keeps of one browser.
struct Visit {
    state: CsrfToken,
    nonce: Nonce,
    verifier: Option<PkceCodeVerifier>,
    person: Option<Person>,
}

struct Person {
    id_token: CoreIdToken,
    refresh_token: Option<RefreshToken>,
    claims: String,
}

fn main() -> Outcome<()> {
    let (issuer, base) = (env::var("ISSUER")?, env::var("BASE")?);
    let http = reqwest::blocking::ClientBuilder::new()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let metadata = ProviderMetadataWithLogout::discover(&IssuerUrl::new(issuer.clone())?, &http)?;
    let end_session = metadata.additional_metadata().end_session_endpoint.clone();
    let client = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new(env::var("CLIENT_ID")?),
        Some(ClientSecret::new(env::var("CLIENT_SECRET")?)),
    )
    .set_redirect_uri(RedirectUrl::new(format!("{base}/callback"))?);

    let login = || {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scopes(["profile", "email"].map(|scope| Scope::new(scope.into())))
            .set_pkce_challenge(challenge)
            .url();
        (url, Visit { state, nonce, verifier: Some(verifier), person: None })
    };

    // Checks the tokens of a login (with its nonce) or of a refresh, and asks UserInfo.
    let person = |tokens: CoreTokenResponse, nonce: Option<&Nonce>| -> Outcome<Person> {
        let id_token = tokens.id_token().ok_or("no ID token came")?.clone();
        let verifier = client.id_token_verifier();
        let about = id_token.claims(&verifier, |found: Option<&Nonce>| match nonce {
            Some(ours) if found.map(Nonce::secret) != Some(ours.secret()) => {
                Err("the nonce is not ours".to_string())
            }
            _ => Ok(()),
        })?;
        let more: CoreUserInfoClaims = client
            .user_info(tokens.access_token().clone(), Some(about.subject().clone()))?
            .request(&http)?;
        let claims = serde_json::json!({"id_token": about, "userinfo": more}).to_string();
        Ok(Person { refresh_token: tokens.refresh_token().cloned(), id_token, claims })
    };

    let answered = |visit: &mut Visit, query: &HashMap<String, String>| -> Outcome<Person> {
        let given = |name: &str| query.get(name).map(String::as_str);
        if given("state") != Some(visit.state.secret()) || given("iss") != Some(&issuer) {
            return Err("this is not the answer to our question".into()); // RFC 9207
        }
        if let Some(error) = given("error") {
            return Err(format!("not logged in: {error}").into());
        }
        let code = AuthorizationCode::new(given("code").unwrap_or_default().into());
        let verifier = visit.verifier.take().ok_or("this answer was taken before")?;
        let tokens = client.exchange_code(code)?.set_pkce_verifier(verifier).request(&http)?;
        person(tokens, Some(&visit.nonce))
    };

    let refreshed = |known: &Person| -> Outcome<Person> {
        let token = known.refresh_token.as_ref().ok_or("there is no refresh token")?;
        let mut next = person(client.exchange_refresh_token(token)?.request(&http)?, None)?;
        next.refresh_token = next.refresh_token.or(known.refresh_token.clone());
        Ok(next)
    };

    let logout = |known: Option<Person>| -> Outcome<Url> {
        let mut request = LogoutRequest::from(end_session.clone().ok_or("no logout")?)
            .set_post_logout_redirect_uri(PostLogoutRedirectUrl::new(format!("{base}/"))?);
        if let Some(known) = known {
            request = request.set_id_token_hint(&known.id_token);
        }
        Ok(request.http_get_url())
    };

    let mut visits: HashMap<String, Visit> = HashMap::new(); // a real service lets them expire
    for request in Server::http(base.trim_start_matches("http://"))?.incoming_requests() {
        let Ok(url) = Url::parse(&format!("{base}{}", request.url())) else {
            continue;
        };
        let query = url.query_pairs().into_owned().collect();
        let mut id = cookie(&request);
        let outcome = match (url.path(), visits.get_mut(&id)) {
            ("/login", _) => {
                let (to, visit) = login();
                id = CsrfToken::new_random().into_secret();
                visits.insert(id.clone(), visit);
                Ok((303, to.to_string()))
            }
            ("/callback", Some(visit)) => answered(visit, &query).map(|found| {
                visit.person = Some(found);
                (303, "/".to_string())
            }),
            ("/refresh", Some(Visit { person: Some(known), .. })) => {
                refreshed(known).map(|found| {
                    *known = found;
                    (303, "/".to_string())
                })
            }
            ("/logout", Some(visit)) => logout(visit.person.take()).map(|to| (303, to.to_string())),
            ("/", Some(Visit { person: Some(known), .. })) => Ok((200, known.claims.clone())),
            _ => Ok((404, "Log in at /login".to_string())),
        };
        answer(request, outcome, &id)?;
    }
    Ok(())
}

fn cookie(request: &Request) -> String {
    let all = request.headers().iter().find(|header| header.field.equiv("Cookie"));
    let pairs = all.map(|header| header.value.as_str()).unwrap_or_default().split("; ");
    pairs.filter_map(|pair| pair.strip_prefix("visit=")).next().unwrap_or_default().to_string()
}

/// 303 with an address, another status with a text, 403 with a fault.
fn answer(request: Request, outcome: Outcome<(u16, String)>, id: &str) -> Outcome<()> {
    let (status, text) = outcome.unwrap_or_else(|fault| (403, fault.to_string()));
    let header = |name: &str, value: &str| Header::from_bytes(name, value).expect("a header");
    let mut response = Response::from_string(if status == 303 { "" } else { &text })
        .with_status_code(status)
        .with_header(header("Set-Cookie", &format!("visit={id}; Path=/; HttpOnly; SameSite=Lax")));
    if status == 303 {
        response.add_header(header("Location", &text));
    }
    Ok(request.respond(response)?)
}
