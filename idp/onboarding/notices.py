"""The mails of the road, each in Chinese and English: words in templates/mail/notice.html."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from idp.kernel.clock import moment
from idp.kernel.mail import Letter, one_line
from idp.kernel.templates import Templates
from idp.onboarding.calendar import days_left
from idp.onboarding.store import Found
from idp.onboarding.workflow import Notice, report_due

_PAGE = Markup("""<!doctype html>
<html lang="zh-Hant-TW"><meta charset="utf-8"><title>{}</title>
<body style="font-family:sans-serif;line-height:1.6;max-width:40em;margin:1em auto">
{}</body></html>
""")


def letter(templates: Templates, notice: Notice, found: Found, now: int, link: str = "") -> Letter:
    """To the applicant, about a case as it is now; `link` is that of a confirmation."""
    context = facts(notice, found, now, link)
    languages = [
        _paragraphs(templates.render("mail/notice.html", language, **context))
        for language in templates.languages
    ]
    subject = " / ".join(_plain(paragraphs[0]) for paragraphs in languages)
    bodies = [paragraphs[1:] for paragraphs in languages]
    text = "\n\n".join(_plain(each) for body in bodies for each in body)
    parts = [
        Markup('<div lang="{}">{}</div>\n').format(
            language, Markup("\n").join(Markup("<p>{}</p>").format(each) for each in body)
        )
        for language, body in zip(templates.languages, bodies, strict=True)
    ]
    html = _PAGE.format(one_line(subject), Markup("<hr>\n").join(parts))
    return Letter(found.document.email, one_line(subject), text + "\n", html)


def facts(notice: Notice, found: Found, now: int, link: str = "") -> Mapping[str, Any]:
    """What the sentences name."""
    case = found.case
    ends = case.until
    due_on = report_due(case)
    return {
        "notice": notice.value,
        "number": case.number,
        "system": one_line(found.title),
        "days": days_left(ends, now) if ends else 0,
        "until": moment(ends - 1)["text"][:10] if ends else "",
        "planned": case.planned.isoformat() if case.planned else "",
        "report_due": due_on.isoformat() if due_on else "",
        "remarks": [one_line(text) for _, text in sorted(found.document.remarks.items())],
        "link": link,
    }


def _paragraphs(rendered: str) -> list[Markup]:
    """A line of the template is a paragraph, and the first is the subject."""
    return [Markup(line.strip()) for line in rendered.splitlines() if line.strip()]  # noqa: S704


def _plain(paragraph: Markup) -> str:
    return paragraph.striptags()
