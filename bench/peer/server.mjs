// oidc-provider with the work that the bench gives our bridge: `node server.mjs PORT ID SECRET`.
// Client-credentials tokens are JWTs (ES256) for one resource; prints tokens when it is ready.
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const [port, client_id, client_secret] = process.argv.slice(2);
const resource = 'https://api.bench.test';
const issuer = `http://127.0.0.1:${port}`;

function key(type, options, alg) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: alg };
}

const provider = new Provider(issuer, {
  clients: [{
    client_id,
    client_secret,
    grant_types: ['client_credentials', 'authorization_code', 'refresh_token'],
    redirect_uris: ['https://service.test/callback'],
    scope: 'openid profile offline_access api:read api:write',
    token_endpoint_auth_method: 'client_secret_post',
  }],
  jwks: {
    keys: [
      key('rsa', { modulusLength: 2048 }, 'RS256'),
      key('ec', { namedCurve: 'P-256' }, 'ES256'),
    ],
  },
  scopes: ['openid', 'offline_access', 'api:read', 'api:write'],
  claims: { openid: ['sub'], profile: ['name', 'twid_masked'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: '王小明', twid_masked: 'A10****010' }),
  }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // a program gets a JWT for the API unless it asks for nothing of the API
      defaultResource: (ctx) => (ctx.oidc?.params?.scope === 'opaque' ? undefined : resource),
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'api:read api:write',
        audience: resource,
        accessTokenTTL: 86400,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
  ttl: { AccessToken: 86400, ClientCredentials: 86400, Grant: 86400 },
});

const client = await provider.Client.find(client_id);
const grant = new provider.Grant({ accountId: 'person', clientId: client_id });
grant.addOIDCScope('openid profile');
const grantId = await grant.save();
const person = await new provider.AccessToken({
  accountId: 'person', client, grantId, gty: 'authorization_code', scope: 'openid profile',
}).save();
const program = await new provider.ClientCredentials({ client, scope: 'api:read' }).save();

provider.listen(Number(port), '127.0.0.1', () => {
  console.log(JSON.stringify({ ready: true, person, program }));
});
