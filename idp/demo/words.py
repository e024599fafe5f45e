"""The steps of a login and its checks in words, for the page that shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.requests import Request

CHINESE, ENGLISH = "zh-Hant-TW", "en"

# name → Chinese, English
STEPS = {
    "discovery": (
        "讀取登入服務的設定（函式庫會保留，不必每次讀取）",
        "The settings of the provider are read (the library keeps them)",
    ),
    "authorize": (
        "請瀏覽器帶著要求前往登入服務",
        "The browser is sent to the provider with the request",
    ),
    "callback": ("瀏覽器帶著結果回來", "The browser comes back with the result"),
    "token_endpoint": ("以授權碼換取權杖", "The code is exchanged for tokens"),
    "jwks_uri": ("讀取登入服務的公開金鑰", "The public keys of the provider are read"),
    "id_token": ("檢查 ID token", "The ID token is checked"),
    "userinfo_endpoint": ("讀取使用者資訊", "The person's claims are read"),
    "other": ("其他往來", "Another message"),
}
CHECKS = {
    "issuer": (
        "設定裡的 issuer 就是我們設定的登入服務",
        "The issuer is the one that is configured",
    ),
    "state": (
        "state 與送出時相同：這是我們開始的登入（RFC 6749 §10.12）",
        "state is what was sent: we began this login (RFC 6749 §10.12)",
    ),
    "iss_parameter": (
        "iss 是我們詢問的登入服務（RFC 9207）",
        "iss is the provider that was asked (RFC 9207)",
    ),
    "signature": (
        "簽章以登入服務公布的金鑰驗證無誤（OIDC Core §3.1.3.7）",
        "The signature fits a published key (OIDC Core §3.1.3.7)",
    ),
    "iss": ("iss 是我們設定的登入服務", "iss is the provider that is configured"),
    "aud": (
        "aud 包含我們的 client_id：這個權杖是給我們的",
        "aud holds our client_id: the token is for us",
    ),
    "exp": ("還沒有過期", "It has not expired"),
    "iat": ("簽發時間不在未來", "It was not issued in the future"),
    "nonce": ("nonce 與送出時相同：不是重送的權杖", "nonce is what was sent: no replay"),
    "at_hash": (
        "at_hash 與一起收到的 access token 相符",
        "at_hash fits the access token that came with it",
    ),
    "acr": (
        "acr 是我們希望的等級之一（不是時，由服務自行決定）",
        "acr is one that was wished for (if not, the service decides)",
    ),
    "auth_time": ("驗證時間在 max_age 之內", "The verification is no older than max_age"),
    "sub": (
        "sub 與 ID token 的相同（OIDC Core §5.3.2）",
        "sub is that of the ID token (OIDC Core §5.3.2)",
    ),
}
PARTS = {
    "response_type": ("要求授權碼", "an authorization code is wanted"),
    "client_id": ("我們的代號", "who we are"),
    "redirect_uri": (
        "結果送回這裡；必須與登記的完全相同",
        "where to answer; exactly as registered",
    ),
    "scope": ("希望取得的資料", "which claims are wanted"),
    "state": ("隨機值，只有這個瀏覽器知道", "random, known to this browser only"),
    "nonce": ("隨機值，會寫進 ID token", "random, comes back in the ID token"),
    "code_challenge": (
        "code_verifier 的 SHA-256（RFC 7636）",
        "SHA-256 of code_verifier (RFC 7636)",
    ),
    "code_challenge_method": ("雜湊方法", "how it was hashed"),
    "code_verifier": ("證明授權碼是我們要求的", "proves that we asked for the code"),
    "prompt": ("要不要再驗證或再徵求同意", "whether to verify or ask again"),
    "acr_values": ("希望的驗證方式", "preferred way to verify"),
    "max_age": ("驗證最多可以是幾秒以前的", "how old the verification may be, in seconds"),
    "ui_locales": ("頁面的語言", "language of the pages"),
    "login_hint": ("預先填入的號碼", "number to fill in"),
    "code": ("授權碼：只能用一次，一分鐘內有效", "authorization code: once, within a minute"),
    "iss": ("登入服務", "the provider"),
    "error": ("錯誤代碼", "error code"),
    "error_description": ("給開發者的說明", "for the developer"),
    "grant_type": ("用什麼換取權杖", "what is exchanged"),
    "authorization": (
        "client_id 與密碼，或 access token",
        "client_id and secret, or the access token",
    ),
    "access_token": ("呼叫 API 用", "for calls to APIs"),
    "refresh_token": ("更新權杖用；只存在伺服器上", "for new tokens; kept on the server only"),
    "id_token": ("登入結果，有登入服務的簽章", "the result of the login, signed by the provider"),
    "token_type": ("權杖的用法", "how the token is used"),
    "expires_in": ("幾秒後過期", "seconds until it expires"),
    "alg": ("簽章演算法", "algorithm of the signature"),
    "kid": ("用哪一把金鑰簽的", "which key signed"),
    "typ": ("權杖的種類", "kind of token"),
    "sub": ("這個人在您這裡的代號；固定不變", "this person's name with you; never changes"),
    "aud": ("給誰的", "for whom"),
    "exp": ("過期時間", "expires at"),
    "iat": ("簽發時間", "issued at"),
    "auth_time": ("這個人驗證的時間", "when the person was verified"),
    "at_hash": ("access token 的雜湊", "hash of the access token"),
    "acr": ("驗證方式的等級", "how strong the verification was"),
    "amr": ("用了哪些方法（RFC 8176）", "which methods were used (RFC 8176)"),
    "sid": ("這次登入的代號", "this session's name"),
    "name": ("姓名", "name"),
    "gender": ("性別", "gender"),
    "family_name": ("姓氏", "family name"),
    "given_name": ("名字", "given name"),
    "middle_name": ("中間名", "middle name"),
    "nickname": ("暱稱", "nickname"),
    "preferred_username": ("偏好的使用者名稱", "the user name that the person prefers"),
    "profile": ("個人資料網頁", "page about the person"),
    "picture": ("照片的網址", "address of a picture"),
    "website": ("個人網站", "the person's website"),
    "birthdate": ("生日", "date of birth"),
    "zoneinfo": ("時區", "time zone"),
    "locale": ("慣用語言", "language"),
    "updated_at": ("名冊上次更新的時間", "when the directory was last updated"),
    "address": ("地址", "postal address"),
    "email": ("電子郵件", "e-mail"),
    "email_verified": ("我們是否確認過這個信箱", "whether the provider has tried the address"),
    "phone_number": ("電話號碼", "telephone"),
    "phone_number_verified": (
        "我們是否確認過這個號碼",
        "whether the provider has tried the number",
    ),
    "twid": ("身分證字號", "national ID number"),
    "twid_masked": ("身分證字號（部分隱碼）", "national ID number, masked"),
    "keys": ("演算法與代號", "algorithm and name of each"),
    "issuer": ("登入服務", "the provider"),
    "authorization_endpoint": ("瀏覽器前往這裡登入", "where browsers log in"),
    "token_endpoint": ("在這裡換取權杖", "where tokens are had"),
    "jwks_uri": ("公開金鑰在這裡", "where the public keys are"),
    "userinfo_endpoint": ("使用者資訊在這裡", "where the claims are"),
    "end_session_endpoint": ("瀏覽器前往這裡登出", "where browsers log out"),
}


def words(language: str) -> dict[str, dict[str, str]]:
    """Steps, checks and parts in one language."""
    at = 1 if language == ENGLISH else 0
    tables: Mapping[str, Mapping[str, tuple[str, str]]] = {
        "steps": STEPS,
        "checks": CHECKS,
        "parts": PARTS,
    }
    return {kind: {name: both[at] for name, both in t.items()} for kind, t in tables.items()}


def language_of(request: Request) -> str:
    """The one that the link names, else the first of zh and en that the browser prefers (RFC 9110
    §12.5.4)."""
    chosen = request.query_params.get("lang")
    if chosen in (CHINESE, ENGLISH):
        return chosen
    ranges = re.findall(
        r"(zh|en)\b[\w-]*(?:\s*;\s*q=([01](?:\.\d{0,3})?))?",
        request.headers.get("accept-language", "").lower(),
    )
    best = max(ranges, key=lambda found: float(found[1] or 1), default=("zh", ""))
    return ENGLISH if best[0] == "en" else CHINESE
