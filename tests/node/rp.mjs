// A relying party from another ecosystem, for the tests: one login, every check on.
//
// In:  one JSON line: issuer, client_id, redirect_uri, scope and perhaps client_secret,
//      auth_method, private_jwk, flow ("code" or "client_credentials"), parameters,
//      refresh, userinfo, metadata.
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

async function authentication({ auth_method, client_secret, private_jwk }) {
  const method = auth_method ?? (client_secret ? 'client_secret_basic' : 'none');
  switch (method) {
    case 'client_secret_basic': return client.ClientSecretBasic(client_secret);
    case 'client_secret_post': return client.ClientSecretPost(client_secret);
    case 'none': return client.None();
    case 'private_key_jwt': {
      const algorithm = private_jwk.kty === 'EC'
        ? { name: 'ECDSA', namedCurve: private_jwk.crv }
        : { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
      const key = await crypto.subtle.importKey('jwk', private_jwk, algorithm, false, ['sign']);
      return client.PrivateKeyJwt({ key, kid: private_jwk.kid });
    }
    default: throw new Error(`unknown auth_method ${method}`);
  }
}

async function discover(wanted) {
  // The library leaves an ID token's signature to TLS unless told otherwise.
  const execute = [client.enableNonRepudiationChecks];
  if (new URL(wanted.issuer).protocol === 'http:') execute.push(client.allowInsecureRequests);
  return client.discovery(
    new URL(wanted.issuer), wanted.client_id, wanted.metadata,
    await authentication(wanted), { execute, timeout: 20 },
  );
}

async function loginRequest(config, wanted) {
  const secret = {
    pkceCodeVerifier: client.randomPKCECodeVerifier(),
    expectedState: client.randomState(),
    expectedNonce: client.randomNonce(),
  };
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: wanted.redirect_uri,
    scope: wanted.scope ?? 'openid',
    code_challenge: await client.calculatePKCECodeChallenge(secret.pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: secret.expectedState,
    nonce: secret.expectedNonce,
    ...wanted.parameters,
  });
  return { url, secret };
}

async function authorizationCode(config, wanted) {
  const { url, secret } = await loginRequest(config, wanted);
  say('authorize', { url: url.href });
  const { callback } = await hear();
  const tokens = await client.authorizationCodeGrant(
    config, new URL(callback), { ...secret, idTokenExpected: true },
  );
  const claims = tokens.claims();
  say('tokens', { tokens, claims });
  if (wanted.userinfo !== false) {
    say('userinfo', { claims: await client.fetchUserInfo(config, tokens.access_token, claims.sub) });
  }
  if (wanted.refresh !== false && tokens.refresh_token) {
    const fresh = await client.refreshTokenGrant(config, tokens.refresh_token);
    say('refreshed', { tokens: fresh, claims: fresh.claims() ?? null });
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
