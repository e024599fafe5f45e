"""A token for every call, until it is told to stop; then what it was told."""

import json
import os

import httpx

url = os.environ["TDX_HOST"] + "/auth/realms/TDXConnect/protocol/openid-connect/token"
form = {
    "grant_type": "client_credentials",
    "client_id": os.environ["CLIENT_ID"],
    "client_secret": os.environ["CLIENT_SECRET"],
}
calls = 0
while (answer := httpx.post(url, data=form)).status_code == 200:
    calls += 1
print(
    json.dumps(
        {
            "calls": calls,
            "status": answer.status_code,
            "retry_after": answer.headers.get("retry-after"),
            "body": answer.json(),
        }
    )
)
