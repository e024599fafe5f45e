"""The body is pasted together, nothing is encoded, forms are all that is accepted, and the
members that only Keycloak sends are relied on."""

import json
import os
import urllib.request

host = os.environ["TDX_HOST"]
body = (
    "grant_type=client_credentials"
    f"&client_id={os.environ['CLIENT_ID']}&client_secret={os.environ['CLIENT_SECRET']}"
)
request = urllib.request.Request(  # noqa: S310
    f"{host}/auth/realms/TDXConnect/protocol/openid-connect/token",
    data=body.encode(),
    headers={
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/x-www-form-urlencoded",
    },
)
with urllib.request.urlopen(request) as answer:  # noqa: S310
    token = json.load(answer)
assert token["token_type"] == "Bearer"
assert (token["refresh_expires_in"], token["not-before-policy"]) == (0, 0)
assert token["expires_in"] == 86400
call = urllib.request.Request(  # noqa: S310
    os.environ["API"] + "/api/transport/stops",
    headers={"Authorization": "Bearer " + token["access_token"]},
)
with urllib.request.urlopen(call) as answer:  # noqa: S310
    print(answer.read().decode())
