"""Every error of the house, on one page.

Each class speaks with three voices: `description` for the relying party (ASCII, RFC 6749 §5.2
character set), `title` and `advice` for the person (zh-TW, the message ids of the catalogues; they
may name {app_name}, {life}, {minutes}, {time}), and `operator` for who runs the house; `detail`,
given when raised, is for our log only. `may_redirect` says whether the relying party may be told
by redirect: never before client and redirect_uri are known to be good. `reportable` says whether
the help desk can do more about it than the person: then the page offers to write to it.

    IdpError
    ├── ProtocolError          answered to the relying party (JSON, or redirect if may_redirect)
    ├── PageError              answered to the person, as a page
    └── VerificationError      the upstream said no; shown on the login page, the login goes on
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

# RFC 6749 §5.2: error_description is %x20-21 / %x23-5B / %x5D-7E
_NOT_ALLOWED = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


class IdpError(Exception):
    """An answer, not a crash. `retry_after` is in seconds."""

    code: ClassVar[str] = "TF-9001"
    error: ClassVar[str] = "server_error"
    status: int = 500
    may_redirect: ClassVar[bool] = False
    description: str = "internal error"
    title: ClassVar[str] = "系統發生錯誤"
    advice: ClassVar[str] = "請稍後再試。若仍發生，請把追蹤編號告訴客服。"
    operator: ClassVar[str] = "our own fault: the log has the trace under the reference"
    reportable: ClassVar[bool] = True
    offers_logout: bool = False  # its page leads to /logout: a person can always leave
    headers: Mapping[str, str] = MappingProxyType({})  # of the answer

    def __init__(
        self,
        description: str | None = None,
        *,
        detail: str = "",
        retry_after: int | None = None,
    ) -> None:
        if description is not None:
            self.description = _NOT_ALLOWED.sub("?", description)
        self.detail = detail
        self.retry_after = retry_after
        super().__init__(f"{self.error}: {self.description}" + (f" ({detail})" if detail else ""))


# ── to the relying party ────────────────────────────────────────────────────────────────────────


class ProtocolError(IdpError):
    status = 400
    code = "TF-1003"
    title = "網站傳送的資料有誤"
    advice = "請回到原本的網站並通知該網站。"
    operator = "the client's own request: send its owner the description"
    reportable = False


class InvalidRequest(ProtocolError):
    error = "invalid_request"
    description = "the request is malformed"
    may_redirect = True
    operator = "the client's own request; `detail` in the log says which part"


class TooLarge(ProtocolError):
    error = "invalid_request"
    description = "the request is too large"
    status = 413
    operator = "`web.max_body_bytes`; nobody honest comes near it"


class InvalidClient(ProtocolError):
    """RFC 6749 §5.2. One text for unknown client and wrong secret: no enumeration."""

    error = "invalid_client"
    description = "client authentication failed"
    status = 401
    operator = "wrong secret, key or method; many from one address is guessing"


class InvalidGrant(ProtocolError):
    error = "invalid_grant"
    description = "the grant is invalid, expired, revoked or already used"
    operator = "a code or refresh token came twice or too late; the audit trail says which"


class InvalidDpopProof(ProtocolError):
    """RFC 9449 §5, §7.1."""

    error = "invalid_dpop_proof"
    description = "the DPoP proof is missing or invalid"
    operator = "the client's library: send its owner the description"

    def at_resource(self) -> InvalidDpopProof:
        """RFC 9449 §7.1: where a token is presented it is a matter of authentication."""
        self.status = 401
        return self


class UseDpopNonce(InvalidDpopProof):
    """RFC 9449 §8: the nonce for the next proof goes out with it."""

    error = "use_dpop_nonce"
    description = "the DPoP proof needs a nonce of this server"
    operator = "nothing to do: the client tries again by itself"

    def __init__(self, nonce: str = "") -> None:
        super().__init__()
        self.headers = {"DPoP-Nonce": nonce}


class InvalidScope(ProtocolError):
    error = "invalid_scope"
    description = "the client may not have this scope"
    may_redirect = True
    operator = "`idp client show`: the scope is not registered"


class InvalidClientMetadata(ProtocolError):
    """RFC 7591 §3.2.2."""

    error = "invalid_client_metadata"
    description = "the client metadata cannot be registered"


class InvalidRedirectUri(InvalidClientMetadata):
    error = "invalid_redirect_uri"
    description = "a redirect_uri cannot be registered"


class InvalidSoftwareStatement(InvalidClientMetadata):
    error = "invalid_software_statement"
    description = "software statements are not supported"
    operator = "the client's library must not send one"


class InvalidTarget(ProtocolError):
    """RFC 8707 §2."""

    error = "invalid_target"
    description = "the requested resource is unknown"
    may_redirect = True
    operator = "`idp client show`: the audience is not registered"


class UnauthorizedClient(ProtocolError):
    error = "unauthorized_client"
    description = "the client may not use this grant"
    may_redirect = True
    operator = "`idp client show`: the grant type is not registered"


class UnsupportedGrantType(ProtocolError):
    error = "unsupported_grant_type"
    description = "the grant type is not supported"
    operator = "the client's library is set up for another provider"


class UnsupportedResponseType(ProtocolError):
    error = "unsupported_response_type"
    description = "only response_type=code is supported"
    may_redirect = True
    operator = "the client's library is set up for the implicit or hybrid flow"


class AccessDenied(ProtocolError):
    error = "access_denied"
    description = "the person or the server denied the request"
    may_redirect = True
    operator = "the person's own decision; nothing to do"


class LoginRequired(ProtocolError):
    error = "login_required"
    description = "the person is not logged in"
    may_redirect = True
    operator = "prompt=none without a session, or a hint of another person; nothing to do"


class ConsentRequired(ProtocolError):
    error = "consent_required"
    description = "the person has not consented"
    may_redirect = True
    operator = "prompt=none before consent; nothing to do"


class RequestNotSupported(ProtocolError):
    error = "request_not_supported"
    description = "request objects that are not signed are not supported"
    may_redirect = True
    operator = "the client's library must sign its request objects, or send none"


class InvalidRequestObject(ProtocolError):
    error = "invalid_request_object"
    description = "the request object is not signed by a key of this client"
    may_redirect = True
    operator = "`idp client show`: compare its jwks and `request_object_signing_alg`"


class RequestUriNotSupported(ProtocolError):
    error = "request_uri_not_supported"
    description = "the request_uri was neither registered nor pushed"
    may_redirect = True
    operator = "register the address (`request_uris`), or the client must not send request_uri"


class RegistrationNotSupported(ProtocolError):
    error = "registration_not_supported"
    description = "the registration parameter is not supported"
    may_redirect = True
    operator = "the client's library must not send registration"


class UnmetAuthenticationRequirements(ProtocolError):
    """OpenID Connect Core Error Code unmet_authentication_requirements 1.0."""

    error = "unmet_authentication_requirements"
    description = "the requested authentication level cannot be reached"
    may_redirect = True
    operator = "the schemes' `methods` and the client's `minimum_acr` exclude each other"


class InvalidToken(ProtocolError):
    """RFC 6750 §3.1."""

    error = "invalid_token"
    description = "the access token is invalid, expired or revoked"
    status = 401
    operator = "a resource asked with an old token; nothing to do"


class InsufficientScope(ProtocolError):
    error = "insufficient_scope"
    description = "the access token lacks the scope"
    status = 403
    operator = "the token was given for less; nothing to do"


class MissingToken(ProtocolError):
    """RFC 6750 §3.1: a request without authentication gets no error code."""

    error = ""
    description = "an access token is required"
    status = 401
    operator = "nothing to do"


class TooManyRequests(ProtocolError):
    code = "TF-4001"
    error = "slow_down"
    description = "too many requests; keep and reuse the token until it expires"
    status = 429
    title = "嘗試次數過多"
    advice = "請稍等一下再試。"
    operator = "a limit of `login`, `oidc` or nginx; see who asks so often"


class Unavailable(ProtocolError):
    """The store is away: fail closed and say so."""

    code = "TF-4002"
    error = "temporarily_unavailable"
    description = "the service is temporarily unavailable"
    status = 503
    title = "服務暫時無法使用"
    advice = "請稍後再試。已經完成的登入不受影響。"
    operator = "database or Redis is away: `/health/ready`"
    reportable = True

    def __init__(self, *, detail: str = "", retry_after: int | None = 5) -> None:
        super().__init__(detail=detail, retry_after=retry_after)


# ── to the person ───────────────────────────────────────────────────────────────────────────────


class PageError(IdpError):
    status = 400
    error = "invalid_request"
    reportable = False


class UnknownClient(PageError):
    code = "TF-1001"
    error = "invalid_client"
    description = "the client is not registered"
    title = "這個服務尚未完成登記"
    advice = "請回到原本的網站並通知該網站。"
    operator = "no such client, or it is disabled: `idp client list`"
    reportable = True


class RedirectUriMismatch(PageError):
    """`sent` and `registered` are shown to integrators of sandbox clients only; from index
    `differs_at` on the one sent differs from the registered one most like it."""

    code = "TF-1002"
    description = "redirect_uri is not registered for this client"
    title = "服務的設定有誤"
    advice = "請回到原本的網站並通知該網站。"
    operator = "`idp client show`: compare character by character"
    reportable = True

    def __init__(
        self, sent: str = "", registered: tuple[str, ...] = (), differs_at: int = 0
    ) -> None:
        super().__init__(detail="redirect_uri mismatch")
        self.differs_at = differs_at
        self.sent = sent
        self.registered = registered


class SecretExpired(PageError):
    """Before a phone rings for a login whose code nobody could redeem. Only the developer of a
    sandbox client is told why."""

    code = "TF-1004"
    error = "invalid_client"
    description = "the client cannot log anybody in at the moment"
    title = "服務目前無法讓人登入"
    advice = "請回到原本的網站並通知該網站。"
    operator = "its only secret has expired: `idp client rotate-secret`"
    reportable = True

    def __init__(self, *, told: bool = False) -> None:
        why = "every secret of the client has expired: it needs a new one" if told else None
        super().__init__(why, detail="every secret has expired")


class InvalidRequestUri(PageError):
    """OIDC Core §3.1.2.6. A page: who follows an old reference is not sent to anybody."""

    code = "TF-1005"
    error = "invalid_request_uri"
    description = "the request_uri is unknown, expired, used already or of another client"
    title = "這個登入連結已失效"
    advice = "請回到原本的網站，再登入一次。"
    operator = "the client follows a pushed request late or twice: `oidc.pushed_request_seconds`"


class WrongBrowser(PageError):
    code = "TF-3001"
    status = 403
    error = "wrong_browser"
    description = "this login was started in another browser"
    title = "請回到原本的瀏覽器"
    advice = (
        "您是在另一個瀏覽器（或 App 內建瀏覽器、無痕視窗）開始登入的。"
        "請回到那裡繼續，或從原本的服務重新登入。"
    )
    operator = "cookies are off, or the link was opened elsewhere; nothing to do"


class AlreadyFinished(PageError):
    """`home` is where the person begins again, if the client registered that (initiate_login_uri
    or client_uri), and `service` its name, also in English: never the address of a request."""

    code = "TF-3002"
    status = 410
    error = "already_finished"
    description = "this login is finished or has expired"
    title = "這次登入已經完成或已失效"
    advice = "如果還需要登入，請從原本的服務重新開始。"
    operator = "Back button, bookmark or a second tab; nothing to do"

    def __init__(self, service: str = "", service_en: str = "", home: str = "") -> None:
        super().__init__()
        self.service, self.service_en, self.home = service, service_en, home


class ForgedRequest(PageError):
    """CSRF: another site sent this browser here, or the form is stale."""

    code = "TF-3003"
    status = 403
    error = "forged_request"
    description = "the form did not come from this page"
    title = "無法確認這個動作是您送出的"
    advice = "請回到上一頁，重新整理後再試一次。"
    operator = "a page that lay open for hours, or an attack: look at the Origin in nginx's log"


class NotFound(PageError):
    code = "TF-3004"
    status = 404
    error = "not_found"
    description = "there is nothing at this address"
    title = "找不到這個網頁"
    advice = "請檢查網址，或從原本的服務重新開始。"
    operator = "nothing to do"


class MethodNotAllowed(PageError):
    code = "TF-3005"
    status = 405
    error = "invalid_request"
    description = "the method is not allowed here"
    title = "無法這樣使用這個網址"
    advice = "請從原本的服務重新開始。"
    operator = "nothing to do"


class PersonDisabled(PageError):
    code = "TF-3006"
    status = 403
    error = "access_denied"
    description = "this person may not log in"
    title = "這個身分目前無法登入"
    advice = "請聯絡客服，並告知追蹤編號。"
    operator = "`idp person enable`, if it was a mistake"
    reportable = True


# ── the upstream said no ────────────────────────────────────────────────────────────────────────


class VerificationError(IdpError):
    """Why one attempt ended. The login itself goes on: try again, another way, or cancel.
    `instead` advises another way, by what the browser does there: the page says it only where
    there is one (login.view)."""

    instead: ClassVar[Mapping[str, str]] = MappingProxyType({})
    status = 200
    error = "access_denied"
    reportable = False


class Denied(VerificationError):
    code = "TF-2101"
    description = "the person cancelled on the phone"
    title = "您在手機上取消了登入"
    advice = "如果是誤按，請再試一次。若非您本人操作，請勿再試，並查看登入紀錄。"
    operator = "nothing to do; many for one person is push bombing"


class Failed(VerificationError):
    code = "TF-2102"
    description = "the verification failed"
    title = "手機驗證沒有成功"
    advice = "請再試一次，或確認手機的指紋／臉部設定沒有變更。變更過需重新註冊。"
    operator = "nothing to do; many at once is the upstream's fault"


class Expired(VerificationError):
    code = "TF-2103"
    description = "the verification timed out"
    title = "驗證時間已到"
    advice = "為了安全，每次驗證只有 {life}，不會影響您的帳號。"
    operator = "nothing to do"


class NotStarted(VerificationError):
    """Not registered, or a number that is nobody's: one neutral answer."""

    code = "TF-2104"
    description = "the verification could not be started"
    title = "無法送出驗證"
    advice = "請確認身分證字號，並確認已在{app_name}完成註冊。"
    instead = MappingProxyType({"leave": "也可以改用「前往網站驗證」。"})
    operator = "not registered, or nobody's number; many from one address is probing"


class TooManyPushes(VerificationError):
    code = "TF-2105"
    description = "too many notifications to this person"
    title = "傳送通知次數過多"
    advice = "請等 {minutes} 分鐘再試。"
    instead = MappingProxyType({"scan": "也可以改用 QR Code。"})
    operator = "a budget of `login.push` refused it"


class Disagreement(VerificationError):
    """A checksum, an echo or an identity does not fit: nobody is let in, and it is alarmed."""

    code = "TF-2201"
    description = "the verification service gave an inconsistent answer"
    title = "系統之間的資料不一致"
    advice = "請再試一次；若仍發生，請把追蹤編號告訴客服。"
    operator = "`idp_alarms_total`: a key that does not fit, or somebody in between"
    reportable = True


class UpstreamAway(VerificationError):
    code = "TF-2202"
    error = "temporarily_unavailable"
    description = "the verification service is away"
    title = "{app_name}暫時無法使用"
    advice = "請稍後再試。其他方式可能也會受影響。"
    operator = "no answer, or one that says so: `idp doctor`, and `detail` in the log"
    reportable = True


class Maintenance(VerificationError):
    """The operator knows that the upstream is closed, and `until` when (UTC seconds)."""

    code = "TF-2203"
    error = "temporarily_unavailable"
    description = "the verification service is under maintenance"
    title = "{app_name}維護中，預計 {time} 恢復"
    advice = "請稍後再試。"
    operator = "`maintenance_until` of the scheme"

    def __init__(self, until: int = 0) -> None:
        super().__init__()
        self.until = until


def all_errors() -> list[type[IdpError]]:
    """Every error in the order of this page: the error catalogue is made from it. A private one of
    some room is for that room, and answers as the one it derives from."""
    found: list[type[IdpError]] = []

    def walk(cls: type[IdpError]) -> None:
        if not cls.__name__.startswith("_"):
            found.append(cls)
        for child in cls.__subclasses__():
            walk(child)

    walk(IdpError)
    return found
