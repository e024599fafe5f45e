"""Every mail of the road, in both languages, whatever an applicant called their system."""

from __future__ import annotations

from datetime import date

import pytest

from idp.kernel.settings import BrandSettings
from idp.kernel.templates import Templates
from idp.onboarding.notices import letter
from idp.onboarding.store import Document, Found
from idp.onboarding.workflow import Action, Case, Kind, Notice, State

NOW = 1_795_000_000
TEMPLATES = Templates(BrandSettings(name="登入", help_phone="0800-000-000"))


def found(title: str = "借書證", **remarks: str) -> Found:
    case = Case(
        "B1151130001", Kind.SERVICE, Action.NEW, State.SANDBOX, until=NOW + 86_400,
        planned=date(2027, 6, 1),
    )  # fmt: skip
    document = Document(email="ann@library.gov.tw", remarks=remarks)
    return Found(case, document, "", title, "國家圖書館", 1, NOW, NOW)


@pytest.mark.parametrize("notice", Notice)
def test_a_mail_says_it_in_both_languages(notice: Notice) -> None:
    mail = letter(TEMPLATES, notice, found(), NOW, "https://id.test/link")
    chinese, _, english = mail.subject.partition(" / ")
    assert chinese and english and english.isascii()
    assert notice is Notice.CONFIRMATION or mail.subject.count("B1151130001") == 2
    assert mail.text.count("0800-000-000") == 2
    assert ("https://id.test/link" in mail.text) is (notice is Notice.CONFIRMATION)
    assert '<div lang="en">' in mail.html and "%(" not in mail.text


@pytest.mark.parametrize("notice", Notice)
def test_what_an_applicant_wrote_is_text(notice: Notice) -> None:
    """No markup in the HTML, no header in the subject, each remark in one paragraph."""
    evil = '<script>alert(1)</script>"\r\nBcc: eve@evil.test'
    mail = letter(TEMPLATES, notice, found(evil, x=f"{evil}\nmore"), NOW)
    assert "<script" not in mail.html and "\n" not in mail.subject and "\r" not in mail.subject
    assert "<p>Bcc:" not in mail.html
    assert "&lt;script&gt;" in mail.html  # the remark
