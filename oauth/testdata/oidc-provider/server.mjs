// An OpenID provider for one test: node server.mjs ISSUER. It listens on the loopback, behind a front that speaks TLS at
// ISSUER, prints its port, and ends with its standard input.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const provider = new Provider(process.argv[2], {
  clients: [{
    client_id: 'castray',
    application_type: 'native', // any port of 127.0.0.1 (RFC 8252, 7.3)
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: ['http://127.0.0.1/callback'],
  }],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  scopes: ['openid', 'offline_access', 'fhirUser', 'fhircast/Patient-open.read'],
  claims: { openid: ['sub'], fhirUser: ['fhirUser', 'name'] },
  conformIdTokenClaims: false, // as SMART has it: fhirUser is in the id_token
  features: {
    devInteractions: { enabled: true }, // its pages, where any name and password will do
    resourceIndicators: { enabled: false },
    revocation: { enabled: true },
    introspection: { enabled: true },
  },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, name: 'Ada Reader', fhirUser: 'Practitioner/ada' }) }),
  cookies: { keys: ['of a test'] },
});
provider.proxy = true; // believe the front that this is https

const server = createServer(provider.callback());
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit()).resume();
