// A relying party from another ecosystem, for the tests: one login, every check on.
//
// In:  one JSON line: issuer, client_id, redirect_uri, scope and perhaps client_secret,
//      auth_method, private_jwk, flow ("code" or "client_credentials"), parameters,
//      refresh, userinfo, metadata; strict ways: pushed, dpop, signed_request, signed_answer.
// Out: JSON lines, each with "event". After "authorize" it waits for one JSON line
//      {"callback": the URL the browser was sent to}.
// An error is {"event":"error", code, error, error_description, message}; then exit 1.
// `node rp.mjs --self-check` proves, without network, that it is installed and runs.

import { createInterface } from 'node:readline';
import * as client from 'openid-client';

const say = (event, rest = {}) => process.stdout.write(JSON.stringify({ event, ...rest }) + '\n');
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function hear() {
  const { value, done } = await lines.next();
  if (done) throw new Error('standard input ended before the next JSON line');
  return JSON.parse(value);
}

async function signingKey(jwk) {
  const algorithm = jwk.kty === 'EC'
    ? { name: 'ECDSA', namedCurve: jwk.crv }
    : { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('jwk', jwk, algorithm, false, ['sign']);
  return { key, kid: jwk.kid };
}

async function authentication({ auth_method, client_secret, private_jwk }) {
  const method = auth_method ?? (client_secret ? 'client_secret_basic' : 'none');
  switch (method) {
    case 'client_secret_basic': return client.ClientSecretBasic(client_secret);
    case 'client_secret_post': return client.ClientSecretPost(client_secret);
    case 'none': return client.None();
    case 'private_key_jwt': return client.PrivateKeyJwt(await signingKey(private_jwk));
    default: throw new Error(`unknown auth_method ${method}`);
  }
}

async function discover(wanted) {
  // The library leaves an ID token's signature to TLS unless told otherwise.
  const execute = [client.enableNonRepudiationChecks];
  if (wanted.signed_answer) execute.push(client.useJwtResponseMode);
  if (new URL(wanted.issuer).protocol === 'http:') execute.push(client.allowInsecureRequests);
  return client.discovery(
    new URL(wanted.issuer), wanted.client_id, wanted.metadata,
    await authentication(wanted), { execute, timeout: 20 },
  );
}

async function loginRequest(config, wanted, options) {
  const secret = {
    pkceCodeVerifier: client.randomPKCECodeVerifier(),
    expectedState: client.randomState(),
    expectedNonce: client.randomNonce(),
  };
  const parameters = {
    redirect_uri: wanted.redirect_uri,
    scope: wanted.scope ?? 'openid',
    code_challenge: await client.calculatePKCECodeChallenge(secret.pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: secret.expectedState,
    nonce: secret.expectedNonce,
    ...wanted.parameters,
  };
  let url = wanted.signed_request
    ? await client.buildAuthorizationUrlWithJAR(
      config, parameters, await signingKey(wanted.private_jwk))
    : client.buildAuthorizationUrl(config, parameters);
  if (wanted.pushed) {
    url = await client.buildAuthorizationUrlWithPAR(config, url.searchParams, options);
  }
  return { url, secret };
}

async function authorizationCode(config, wanted) {
  const keys = wanted.dpop && await client.randomDPoPKeyPair('ES256');
  const options = keys ? { DPoP: client.getDPoPHandle(config, keys) } : undefined;
  const { url, secret } = await loginRequest(config, wanted, options);
  say('authorize', { url: url.href });
  const { callback } = await hear();
  const tokens = await client.authorizationCodeGrant(
    config, new URL(callback), { ...secret, idTokenExpected: true }, undefined, options,
  );
  const claims = tokens.claims();
  say('tokens', { tokens, claims });
  if (wanted.userinfo !== false) {
    const { access_token } = tokens;
    const person = await client.fetchUserInfo(config, access_token, claims.sub, options);
    say('userinfo', { claims: person });
  }
  if (wanted.refresh !== false && tokens.refresh_token) {
    const fresh = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, options);
    say('refreshed', { tokens: fresh, claims: fresh.claims() ?? null });
  }
  if (wanted.post_logout_redirect_uri) {
    const { post_logout_redirect_uri } = wanted;
    const logout = client.buildEndSessionUrl(
      config, { id_token_hint: tokens.id_token, post_logout_redirect_uri });
    say('logout', { url: logout.href });
  }
}

async function clientCredentials(config, wanted) {
  const parameters = wanted.scope ? { scope: wanted.scope } : {};
  const tokens = await client.clientCredentialsGrant(config, { ...parameters, ...wanted.parameters });
  say('tokens', { tokens, claims: null });
}

async function selfCheck() {
  const server = { issuer: 'https://op.test', authorization_endpoint: 'https://op.test/authorize' };
  const config = new client.Configuration(server, 'self-check', undefined, client.None());
  const { url } = await loginRequest(config, { redirect_uri: 'https://rp.test/cb' });
  for (const name of ['state', 'nonce', 'code_challenge']) {
    if (!url.searchParams.get(name)) throw new Error(`no ${name} in ${url}`);
  }
  say('self-check', { url: url.href, node: process.version });
}

const FLOWS = { code: authorizationCode, client_credentials: clientCredentials };

async function main() {
  if (process.argv.includes('--self-check')) return selfCheck();
  const wanted = await hear();
  const config = await discover(wanted);
  await FLOWS[wanted.flow ?? 'code'](config, wanted);
  say('done');
}

try {
  await main();
  process.exit(0);
} catch (failure) {
  const { code, error, error_description, message, status, cause } = failure;
  const because = cause instanceof Response ? `${cause.status} from ${cause.url}`
    : cause instanceof Error ? cause.message : cause;
  say('error', { code, error, error_description, message, status, because });
  process.exit(1);
}
