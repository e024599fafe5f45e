// A login by oauth4webapi, step by step, for the tests: PAR, private_key_jwt, DPoP, JARM, RFC 9728.
// It is what openid-client is made of, and comes with it; here nothing is between us and its checks.
//
// In and out: JSON lines, as in rp.mjs: issuer, client_id, redirect_uri, scope, private_jwk (EC).

import { createInterface } from 'node:readline';
import * as oauth from 'oauth4webapi';

const say = (event, rest = {}) => process.stdout.write(JSON.stringify({ event, ...rest }) + '\n');
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const hear = async () => JSON.parse((await lines.next()).value);

async function login(wanted) {
  const issuer = new URL(wanted.issuer);
  const insecure = { [oauth.allowInsecureRequests]: issuer.protocol === 'http:' };

  const described = await oauth.processResourceDiscoveryResponse(
    issuer, await oauth.resourceDiscoveryRequest(issuer, insecure));
  const [named] = described.authorization_servers;
  const as = await oauth.processDiscoveryResponse(
    issuer, await oauth.discoveryRequest(new URL(named), { algorithm: 'oauth2', ...insecure }));

  const algs = { id_token_signed_response_alg: 'ES256', authorization_signed_response_alg: 'ES256' };
  const client = { client_id: wanted.client_id, ...algs };
  const curve = { name: 'ECDSA', namedCurve: 'P-256' };
  const key = await crypto.subtle.importKey('jwk', wanted.private_jwk, curve, false, ['sign']);
  const itself = oauth.PrivateKeyJwt({ key, kid: wanted.private_jwk.kid });
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
  const held = { DPoP, ...insecure };

  const verifier = oauth.generateRandomCodeVerifier();
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
  const asked = new URLSearchParams({
    response_type: 'code', redirect_uri: wanted.redirect_uri, scope: wanted.scope, state, nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    ...(wanted.signed ? { response_mode: 'jwt' } : {}),
  });
  const form = wanted.signed
    ? { request: await oauth.issueRequestObject(as, client, asked, { key, kid: wanted.private_jwk.kid }) }
    : asked;
  const pushed = await oauth.processPushedAuthorizationResponse(
    as, client, await oauth.pushedAuthorizationRequest(as, client, itself, form, held));
  const url = new URL(as.authorization_endpoint);
  url.searchParams.set('client_id', client.client_id);
  url.searchParams.set('request_uri', pushed.request_uri);
  say('authorize', { url: url.href });

  const back = new URL((await hear()).callback);
  const answer = wanted.signed
    ? await oauth.validateJwtAuthResponse(as, client, back, state, insecure)
    : oauth.validateAuthResponse(as, client, back, state);
  const response = await oauth.authorizationCodeGrantRequest(
    as, client, itself, answer, wanted.redirect_uri, verifier, held);
  const checks = { expectedNonce: nonce, requireIdToken: true };
  const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, checks);
  await oauth.validateApplicationLevelSignature(as, response, insecure);
  const claims = oauth.getValidatedIdTokenClaims(tokens);
  say('tokens', { tokens, claims });

  const person = await oauth.processUserInfoResponse(
    as, client, claims.sub, await oauth.userInfoRequest(as, client, tokens.access_token, held));
  say('userinfo', { claims: person });
  const fresh = await oauth.processRefreshTokenResponse(as, client,
    await oauth.refreshTokenGrantRequest(as, client, itself, tokens.refresh_token, held));
  say('refreshed', { tokens: fresh });

  const told = await oauth.introspectionRequest(as, client, itself, fresh.access_token, {
    requestJwtResponse: true, ...insecure });
  const jwt = { ...client, introspection_signed_response_alg: 'ES256' };
  const introspected = await oauth.processIntrospectionResponse(as, jwt, told);
  await oauth.validateApplicationLevelSignature(as, told, insecure);
  say('introspected', { claims: introspected });

  await oauth.processRevocationResponse(
    await oauth.revocationRequest(as, client, itself, fresh.refresh_token, insecure));
  say('done');
}

try {
  await login(await hear());
  process.exit(0);
} catch (failure) {
  const { code, error, error_description, message } = failure;
  say('error', { code, error, error_description, message, because: String(failure.cause ?? '') });
  process.exit(1);
}
