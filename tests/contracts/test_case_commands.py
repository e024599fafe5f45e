"""Officers at a terminal: an application that came on paper goes its way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from idp.kernel import schema
from tests.contracts.test_operator_commands import Desk, Said
from tests.road import EMAIL, FORMS, LETTER


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    found = Desk(tmp_path)
    found.write()
    schema.upgrade(f"sqlite:///{tmp_path}/idp.sqlite3")
    return found


def filed(desk: Desk, name: str, content: Any) -> str:
    file = Path(desk.folder / name)
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return str(file)


def application(**changes: dict[str, Any]) -> dict[str, Any]:
    steps = ("organisation", "contacts", "system", "protocol")
    return {step: FORMS[step] | changes.get(step, {}) for step in steps}


def opened(desk: Desk, content: Any, *more: str) -> Said:
    file = filed(desk, "application.json", content)
    return desk.type("case", "open", "--kind", "service", "--email", EMAIL, "--file", file, *more)


@pytest.fixture
def number(desk: Desk) -> str:
    said = opened(desk, application(), "--submit")
    assert said.code == 0, said
    return said.out.split(":")[0]


def test_paper_becomes_a_sandbox(desk: Desk, number: str) -> None:
    assert desk.json("case", "list")[0]["state"] == "in_review"
    shown = desk.type("case", "show", number).out
    assert "system.name: 借書證" in shown and "reviewer: approve" in shown
    assert desk.type("case", "move", number, "approve").out.strip() == (
        f"{number}: awaiting_first_letter"
    )
    letter = filed(desk, "letter.json", LETTER)
    said = desk.type("case", "move", number, "approve", "--as", "operator", "--file", letter)
    assert said.out.strip() == f"{number}: sandbox", said
    found = desk.json("case", "show", number)
    assert found["letters"] == [f"{LETTER['number']} of {LETTER['day']}"]
    assert [line.split("  ")[-1] for line in found["history"]] == [
        "open → draft", "submit → in_review", "approve → awaiting_first_letter",
        "approve → sandbox",
    ]  # fmt: skip
    assert desk.json("client", "show", f"{number}-test")["client_name"] == "借書證"
    moved = desk.audit("--event", "case.moved")
    assert [entry["detail"]["state"] for entry in moved][-1] == "sandbox"


def test_remarks_reach_the_applicant(desk: Desk, number: str) -> None:
    remark = ("--remark", "system.description=請說明用途", "--remark", "a=b 請補件")
    assert desk.type("case", "move", number, "return", *remark).code == 0
    shown = desk.json("case", "show", number)
    assert shown["remarks"] == ["system.description: 請說明用途", "all: a=b 請補件"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("show", "B1150101999"), "there is no case B1150101999"),
        (("show", "../../etc"), "there is no case ../../etc"),
        (("move", "NUMBER", "resume", "--as", "operator"), "knows no resume"),
        (("move", "NUMBER", "approve", "--as", "operator"), "approve is for the reviewer"),
        (("move", "NUMBER", "reject"), "remarks"),
        (("move", "NUMBER", "reject", "--remark", "x.y=z"), "no such field"),
        (("move", "NUMBER", "approve", "--as", "clock"), "nobody acts for time"),
        (("move", "NUMBER", "approve", "--file", "/nowhere.json"), "/nowhere.json"),
    ],
)
def test_what_cannot_be_done_is_told(
    desk: Desk, number: str, words: tuple[str, ...], told: str
) -> None:
    said = desk.type("case", *(number if word == "NUMBER" else word for word in words))
    assert said.code == 1 and told in said.err, said
    assert desk.json("case", "show", number)["state"] == "in_review"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "a JSON object is needed"),
        ({"system": "x"}, "step → field → value"),
        ({"other": {}}, "other: no such part"),
        ({"system": {"trusted": True}}, "system.trusted: no such field"),
    ],
)
def test_a_file_that_is_no_application(desk: Desk, content: Any, told: str) -> None:
    said = opened(desk, content)
    assert said.code == 1 and told in said.err, said


def test_every_fault_of_an_application_has_a_line(desk: Desk) -> None:
    wrong = application(system={"name": ""}, protocol={"redirect_uris": "javascript:alert(1)"})
    said = opened(desk, wrong, "--submit")
    assert said.code == 1
    told = {line.split(":")[0] for line in said.err.splitlines()}
    assert told == {"system.name", "protocol.redirect_uris"}
    assert desk.json("case", "list")[0]["state"] == "draft"  # what was typed is kept


def test_an_empty_list_says_so(desk: Desk) -> None:
    assert desk.type("case", "list").out.strip() == "none"
