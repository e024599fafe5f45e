// Another OpenID provider, for the tests: oidc-provider with the features that ours has too.
//
// In:  one JSON line: port, clients (registered as they stand), jwks, resource.
// Out: {"event":"listening"} when it answers. Whoever comes is logged in and has consented.

import { createInterface } from 'node:readline';
import Provider, { errors } from 'oidc-provider';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const wanted = JSON.parse((await lines.next()).value);
const issuer = `http://127.0.0.1:${wanted.port}`;

const provider = new Provider(issuer, {
  clients: wanted.clients,
  jwks: wanted.jwks,
  scopes: ['openid', 'offline_access', 'profile', 'api:read', 'api:write'],
  routes: { authorization: '/authorize', pushed_authorization_request: '/par' },
  claims: { openid: ['sub', 'acr'], profile: ['name'] },
  acrValues: ['low'],
  cookies: { keys: ['of a test'] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    claimsParameter: { enabled: true },
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(ctx, resource) {
        if (resource !== wanted.resource) throw new errors.InvalidTarget();
        return { scope: 'api:read api:write' };
      },
    },
  },
  pkce: { required: (ctx, client) => client.clientAuthMethod === 'none' },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, name: '王小明' }) }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  renderError(ctx) { ctx.type = 'html'; ctx.body = '<p>an error</p>'; },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next();
  const { params } = await provider.interactionDetails(ctx.req, ctx.res);
  const grant = new provider.Grant({ accountId: 'a person', clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const consent = { grantId: await grant.save() };
  const result = { login: { accountId: 'a person' }, consent };
  await provider.interactionFinished(ctx.req, ctx.res, result);
  ctx.respond = false;
});

provider.listen(wanted.port, '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ event: 'listening' })}\n`);
});
