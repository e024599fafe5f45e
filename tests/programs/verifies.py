"""The modern path without /auth; the token is verified with the realm's certs, and the roles are
read where Keycloak puts them."""

import os

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet

realm = os.environ["TDX_HOST"] + "/realms/TDXConnect/protocol/openid-connect"
token = httpx.post(
    f"{realm}/token",
    data={"grant_type": "client_credentials"},
    auth=(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]),
).json()["access_token"]
keys = KeySet.import_key_set(httpx.get(f"{realm}/certs").json())
claims = jwt.decode(token, keys, algorithms=["ES256", "RS256"]).claims
assert claims["azp"] == os.environ["CLIENT_ID"]
assert claims["realm_access"]["roles"] == ["basic"]
answer = httpx.get(
    os.environ["API"] + "/api/transport/stops", headers={"authorization": f"Bearer {token}"}
)
print(answer.text)
