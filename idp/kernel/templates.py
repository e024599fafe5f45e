"""Pages: Jinja templates in several languages.

zh-TW is the source language: the message ids are its sentences. Every folder of
`templates/locale/` with a `messages.po` is one more language.
"""

from __future__ import annotations

import gettext
import io
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from idp.kernel.caller import caller_of
from idp.kernel.clock import TAIPEI
from idp.kernel.settings import BrandSettings
from idp.kernel.web import no_store, page_policy, prefer, preference

SOURCE = "zh-TW"
_HAN = re.compile(r"[\u3400-\u9fff]")
HTML_LANG = {"zh-TW": "zh-Hant-TW"}
LANGUAGE_COOKIE = "idp_language"
MOST_RANGES = 20  # of Accept-Language that are read
_WEIGHT = re.compile(r"\A\s*(?:[qQ]\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?\s*\Z", re.ASCII)


def template_directory() -> Path:
    """Beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_templates"
    return installed if installed.is_dir() else package.parent / "templates"


class App(Protocol):
    """As idp.verify describes a scheme's app."""

    @property
    def name(self) -> str: ...
    @property
    def name_en(self) -> str: ...
    @property
    def register_url(self) -> str: ...


class _Nameless:
    """Until the schemes are known (`name_app`)."""

    name = name_en = register_url = ""


class Templates:
    def __init__(self, brand: BrandSettings, directory: Path | None = None) -> None:
        self.directory = directory or template_directory()
        self.brand = brand
        catalogues = sorted((self.directory / "locale").glob("*/messages.po"))
        self.languages = (SOURCE, *(file.parent.name for file in catalogues))
        self._catalogues = {SOURCE: gettext.NullTranslations()}
        self._catalogues |= {file.parent.name: read_catalogue(file) for file in catalogues}
        self._environments = {
            name: self._environment(name, catalogue) for name, catalogue in self._catalogues.items()
        }

    def _environment(self, language: str, catalogue: gettext.NullTranslations) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(self.directory),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.install_gettext_translations(catalogue, newstyle=True)  # type: ignore[attr-defined]
        environment.globals.update(
            brand=self.brand,
            brand_name=self.brand.name if language == SOURCE else self.brand.name_en,
            language=language,
            **self.app_words(_Nameless(), language),
            html_lang=HTML_LANG.get(language, language),
            languages=self.languages,
            brand_files=sorted(self.brand.files),
            report_link=self._report_link,
            dial=_dial,
            named=(lambda name, _english: name) if language == SOURCE else _in_english,
            foreign=(lambda name: name) if language == SOURCE else _foreign,
        )
        return environment

    def name_app(self, app: App) -> None:
        """The app that pages speak of, where they are not about the method of another scheme."""
        for language, environment in self._environments.items():
            environment.globals.update(self.app_words(app, language))

    def app_words(self, app: App, language: str) -> dict[str, str]:
        """What the pages call an app: the agency's own words before the scheme's."""
        brand = self.brand
        name = brand.app_name or app.name
        if language != SOURCE:
            name = brand.app_name_en or app.name_en or name
        return {"app_name": name, "register_url": brand.register_url or app.register_url}

    def _report_link(self, code: str, reference: str, time: str) -> str:
        """A letter to the help desk with what they need to find it, and nothing personal."""
        words = {"subject": f"{code} {reference}", "body": f"{code}\n{reference}\n{time}\n\n"}
        return f"mailto:{self.brand.help_email}?{urlencode(words, quote_via=quote)}"

    def render(self, name: str, language: str, **context: Any) -> str:
        return self._environments[language].get_template(name).render(**context)

    def words(self, name: str, language: str) -> Any:
        """What a template sets for others to import, where a file needs the words of a page."""
        return self._environments[language].get_template(name).module

    def say(self, language: str, text: str) -> str:
        """One sentence of the house, in another language."""
        return self._catalogues[language].gettext(text)

    def page(
        self,
        request: Request,
        name: str,
        *,
        status: int = 200,
        language: str | None = None,
        form_targets: Sequence[str] = (),
        frame_sources: Sequence[str] = (),
        here: str | None = None,
        **context: Any,
    ) -> Response:
        """A whole page, never stored, with its own CSP. `here` is the path that its language
        links lead to, if not to the request again; the answer to a form has none but this."""
        language = language or self.language(request)
        html = self.render(
            name,
            language,
            reference=caller_of(request).reference,
            time=datetime.now(TAIPEI).strftime("%Y-%m-%d %H:%M:%S"),
            here=f"{here}?" if here else _address(request, status),
            **context,
        )
        response = no_store(HTMLResponse(html, status_code=status))
        response.headers["Content-Security-Policy"] = page_policy(form_targets, frame_sources)
        response.headers["Content-Language"] = language
        self._remember(request, response)
        return response

    def language(self, request: Request, ui_locales: str = "") -> str:
        """?lang=, then the cookie that it left, then ui_locales, then Accept-Language, then zh-TW:
        what the person chose counts more than what the service guessed."""
        wishes = [
            request.query_params.get("lang", ""),
            preference(request, LANGUAGE_COOKIE),
            *ui_locales.split(),
            *_accepted(request.headers.get("accept-language", "")),
        ]
        found = (self._offered(wish.strip()) for wish in wishes)
        return next((language for language in found if language), SOURCE)

    def _offered(self, wish: str) -> str | None:
        if wish.lower().startswith("zh"):
            return SOURCE
        primary = wish.split("-")[0].lower()
        return next((x for x in self.languages if x.split("-")[0].lower() == primary), None)

    def _remember(self, request: Request, response: Response) -> None:
        wish = self._offered(request.query_params.get("lang", ""))
        if wish:
            prefer(request, response, LANGUAGE_COOKIE, wish)


def _dial(phone: str) -> str:
    """The address of a help line as an operator writes it: the digits before an extension, which
    a phone is given apart (RFC 3966 §3)."""
    number, *extension = re.split(r"(?i)轉|分機|ext|#", phone, maxsplit=1)
    plus = "+" if number.lstrip().startswith("+") else ""
    digits, inner = (re.sub(r"[^0-9]", "", part) for part in (number, "".join(extension)))
    return f"tel:{plus}{digits}" + (f";ext={inner}" if inner else "")


def _foreign(name: str) -> str:
    """A name that exists in Chinese alone is read aloud as Chinese (WCAG 3.1.2)."""
    lang = HTML_LANG[SOURCE]
    return Markup('<span lang="{}">{}</span>').format(lang, name) if _HAN.search(name) else name


def _in_english(name: str, english: str) -> str:
    """Of a name that is registered in two languages."""
    return english or name


def _accepted(header: str) -> list[str]:
    """The ranges of Accept-Language by their weight (RFC 9110 §12.4.2, §12.5.4). A weight that
    cannot be read refuses its range, as 0 does."""
    found = []
    for part in header.split(",")[:MOST_RANGES]:
        wish, _, parameter = part.partition(";")
        weight = _WEIGHT.match(parameter)
        found.append((float(weight[1] or 1) if weight else 0.0, wish.strip()))
    found.sort(key=lambda ranked: -ranked[0])  # stable: of equal ones the first
    return [wish for weight, wish in found if weight > 0]


def _address(request: Request, status: int) -> str:
    """This page's path and query, ready for one more parameter; "" if a link cannot lead here.
    An error page repeats no query: it may hold somebody's number or a token. A path that begins
    with // would be an address of another host (RFC 3986 §4.2), and so would one with a backslash
    or a tab in a browser: it is quoted."""
    parts = request.scope["query_string"].decode("latin-1").split("&")
    query = "&".join(part for part in parts if part and not part.startswith("lang="))
    path = quote(request.scope["path"])
    if request.method != "GET" or (query and status >= 400) or path.startswith("//"):
        return ""
    return f"{path}?{query}&" if query else f"{path}?"


def read_catalogue(file: Path) -> gettext.GNUTranslations:
    compiled = io.BytesIO()
    with file.open("rb") as source:
        write_mo(compiled, read_po(source))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
