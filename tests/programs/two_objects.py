"""The shape of the usual sample: an object that authenticates, an object that reads data. The
content type is a form field, brotli is accepted, a token is fetched for the call."""

import json
import os

import httpx


class Auth:
    def __init__(self, app_id: str, app_key: str) -> None:
        self.app_id, self.app_key = app_id, app_key

    def get_auth_header(self) -> dict[str, str]:
        return {
            "content-type": "application/x-www-form-urlencoded",
            "grant_type": "client_credentials",
            "client_id": self.app_id,
            "client_secret": self.app_key,
        }


class Data:
    def __init__(self, auth_response: httpx.Response) -> None:
        self.auth_response = auth_response

    def get_data_header(self) -> dict[str, str]:
        access_token = json.loads(self.auth_response.text).get("access_token")
        return {"authorization": f"Bearer {access_token}", "Accept-Encoding": "br,gzip"}


auth_url = os.environ["TDX_HOST"] + "/auth/realms/TDXConnect/protocol/openid-connect/token"
auth = Auth(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
auth_response = httpx.post(auth_url, data=auth.get_auth_header())
data = Data(auth_response)
data_response = httpx.get(
    os.environ["API"] + "/api/transport/stops", headers=data.get_data_header()
)
print(data_response.text)
