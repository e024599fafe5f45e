"""/authorize under whatever anybody sends: a page, or the registered URI, and never a crash."""

from __future__ import annotations

from urllib.parse import quote_from_bytes, urlsplit

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.actors import Service
from tests.asking import BROWSER_COOKIE, FORM, SESSION_COOKIE, Answer, another, bare, cookies, form
from tests.house import CALLBACK, TestHouse
from tests.open_house import LOOP, house, service, shared

__all__ = ["house", "service", "shared"]
pytestmark = LOOP

# the house is the same for every example on purpose: nothing may be left behind that matters
FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NAMES = (
    *("client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "prompt"),
    *("max_age", "code_challenge", "code_challenge_method", "response_mode", "acr_values"),
    *("claims", "id_token_hint", "login_hint", "ui_locales", "display", "request", "request_uri"),
    *("registration", "lang", "resource", "dpop_jkt"),
)
NASTY = st.sampled_from(
    [
        *("", " ", "none", "login", "-1", "9" * 400, "null", "true", "[]", "{}", '"', "'", "\\"),
        *("%", "%00", "\x00", "\r\n", "\t", "\u2028", "\u202e", "\ufeff", "𝟙", "圖書館", "\x7f"),
        *("<script>", "{{7*7}}", "${x}", "../..", "a" * 5000, "eyJhbGciOiJub25lIn0.e30."),
        *('{"id_token":{"acr":{"essential":true,"values":["\\u0000"]}}}', '{"userinfo":null}'),
    ]
)
values = NASTY | st.text(max_size=30) | st.sampled_from(["code", "openid", "S256", "query"])


def acceptable(answer: Answer, uri: str = CALLBACK) -> None:
    """A page of ours, or a redirect to where the client is registered or further into our house."""
    assert answer.status in (303, 400, 413), (answer.status, answer.text)
    if answer.status == 303:
        location = answer.headers["location"]
        assert location.startswith((uri + "?", "/login/", "/authorize/")), location
        assert "\n" not in location
        assert "\r" not in location


@FUZZ
@given(fields=st.dictionaries(st.sampled_from(NAMES), values, max_size=5), post=st.booleans())
async def test_any_values(
    house: TestHouse, service: Service, fields: dict[str, str], post: bool
) -> None:
    """Any text in any parameters: the application raises nothing, and redirects nowhere else."""
    encoded = form({**service.params(), **{k: _utf8(v) for k, v in fields.items()}})
    if post:
        answer = await bare(house, "/authorize", method="POST", body=encoded, headers=FORM)
    else:
        answer = await bare(house, "/authorize", query=encoded)
    acceptable(answer)


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@FUZZ
@given(raw=st.binary(max_size=200), before=st.booleans())
async def test_any_bytes(house: TestHouse, service: Service, raw: bytes, before: bool) -> None:
    """Any bytes in the query, beside a good request or alone."""
    query = form(service.params()) + b"&" + raw if before else raw
    acceptable(await bare(house, "/authorize", query=query))


@FUZZ
@given(data=st.data())
async def test_no_redirect_but_to_the_registered_uri(
    house: TestHouse, service: Service, data: st.DataObject
) -> None:
    """AZ-04 to AZ-07: whatever bytes are changed, added or lost, there is no redirect, unless
    what is sent still decodes to the registered URI."""
    sent = bytearray(CALLBACK.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(sent)))
        cut = data.draw(st.integers(0, 1))
        sent[at : at + cut] = data.draw(
            st.sampled_from(
                [b"", b"/", b"\\", b"@", b"#", b"?", b".", b"%2e", b"\x00", b"\n", b"A"]
            )
            | st.binary(max_size=2)
        )
    params = service.params(redirect_uri=None, prompt="none")
    query = form(params) + b"&redirect_uri=" + quote_from_bytes(bytes(sent)).encode()
    answer = await bare(house, "/authorize", query=query)
    if bytes(sent) == CALLBACK.encode():
        assert answer.headers["location"].startswith(CALLBACK + "?error=login_required")
    else:
        assert answer.status == 400
        assert "location" not in answer.headers


@FUZZ
@given(port=st.text(alphabet="0123456789:@/#?.１a", max_size=8))
async def test_a_loopback_port(house: TestHouse, port: str) -> None:
    """AZ-10: whatever stands where a port may, the answer goes to this machine or nowhere."""
    if "app" not in _APPS:
        _APPS["app"] = await another(
            house, "app", application_type="native", redirect_uris=("http://127.0.0.1/cb",)
        )
    app = _APPS["app"]
    uri = f"http://127.0.0.1:{port}/cb"
    query = form(app.params(redirect_uri=uri, prompt="none"))
    answer = await bare(house, "/authorize", query=query)
    if answer.status == 303:
        location = urlsplit(answer.headers["location"])
        assert location.hostname == "127.0.0.1"
        assert (location.path, location.username) == ("/cb", None)


_APPS: dict[str, Service] = {}


@FUZZ
@given(
    value=st.text(alphabet=st.characters(max_codepoint=255), max_size=60),
    name=st.sampled_from([SESSION_COOKIE, BROWSER_COOKIE, "__Host-idp_language", "idp_method"]),
    header=st.sampled_from(["accept-language", "user-agent", "origin", "referer", "accept"]),
)
async def test_any_cookie_and_header(
    house: TestHouse, service: Service, value: str, name: str, header: str
) -> None:
    """SS-02: no cookie and no header is more than nothing there."""
    given_headers = (*cookies(**{name: value}), (header, value))
    answer = await bare(house, "/authorize", query=form(service.params()), headers=given_headers)
    acceptable(answer)
    page = await bare(house, "/authorize", headers=given_headers)
    assert page.status == 400
