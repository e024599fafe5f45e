"""What the documents say is true: nothing of the code is missing there, nothing is invented."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from cogapp import Cog
from starlette.routing import Mount, Route

from docs import generate
from idp.app import routes
from idp.house import build
from idp.kernel.answers import Answers
from idp.kernel.audit import CATALOGUE
from idp.kernel.errors import IdpError, all_errors
from idp.kernel.services import make_services
from idp.kernel.settings import load
from idp.settings import Settings, unsafe
from tests.house import settings_for

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "keys/README.md", *(ROOT / "docs").rglob("*.md")])
COMMANDS = dict(generate.commands())
ROUTE_PAGES = ("protocol.md", "twfido.md", "wecard.md")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def in_file(*files: Path) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("file", files, ids=name_of)


# ── what is made from the code ──────────────────────────────────────────────────────────────────


PROLOGUE = "from docs import generate; from docs.languages import CHINESE"
MARKED = [f for f in [*PAGES, ROOT / "config/default.toml"] if "[[[cog" in f.read_text()]


@in_file(*MARKED)
def test_what_is_made_is_up_to_date(file: Path) -> None:
    """`make docs` would change nothing."""
    cog = ["cog", "--check", "-I", str(ROOT), "-p", PROLOGUE, str(file)]
    assert Cog().main(cog) == 0, "run `make docs`"


def test_every_marked_page_is_made() -> None:
    """`make docs` reads every page that has a marker."""
    recipe = re.search(r"cogapp.*?\n\n", (ROOT / "Makefile").read_text(), re.S)
    assert recipe is not None
    for file in MARKED:
        folder = f"$(wildcard {name_of(file.parent)}/*.md)"
        assert name_of(file) in recipe[0] or folder in recipe[0]


def test_every_setting_is_described() -> None:
    """Each setting of the models is in docs/settings.md with its default, nested ones too."""
    rows = re.findall(
        r"^\| `([\w.]+)` \| (?:`(.*?)`)? \| .+ \| (.+) \|$", page("settings.md"), re.M
    )
    told = {name: (default, said) for name, default, said in rows}
    assert {s.name for s in generate.settings()} == set(told)
    for setting in generate.settings():
        assert told[setting.name] == (setting.default, setting.description)
        assert setting.description, f"{setting.name} has no description"


# ── config/ ─────────────────────────────────────────────────────────────────────────────────────


def test_default_toml_says_the_defaults() -> None:
    """With every line of config/default.toml uncommented, the settings are the defaults."""
    text = (ROOT / "config/default.toml").read_text(encoding="utf-8")
    lines = [
        re.sub(r"^#(?=\w+ = .|\[)", "", line).replace(".NAME]", ".name]")
        for line in text.splitlines()
    ]
    written = tomllib.loads("\n".join(lines))
    needed = {"issuer": "https://id.test"}
    fido = {"base_url": "https://fido.test", "syscode": "2" * 20, "api_keys": ["0" * 16 + "1" * 16]}
    moica = {"api_url": "https://moica.test", "sp_service_id": "SP-1", "keys": ["A" * 42 + "E="]}
    card = {"path": "p" * 22, "app_key": "k" * 16, "app_secret": "s" * 16}
    schemes = {"twfido": fido, "spapi": moica}
    plain: dict[str, Any] = {**needed, **schemes, "members": {"wecard": {"name": card}}}
    full = {
        **written,
        **needed,
        **{name: {**written[name], **section} for name, section in schemes.items()},
        "members": {
            **written["members"],
            "wecard": {"name": {**written["members"]["wecard"]["name"], **card}},
        },
    }
    assert Settings.model_validate(plain) == Settings.model_validate(full)


@in_file(ROOT / "config/development.toml", ROOT / "config/production.toml")
def test_example_configurations_load(file: Path, tmp_path: Path) -> None:
    """The examples start as they are, given the secret files that they name."""
    secrets = {"MASTER_KEY": "0" * 64, "API_KEYS": "0" * 16 + "1" * 16, "APP_KEY": "k" * 16}
    secrets |= {"DATABASE__URL": "postgresql://idp:secret@127.0.0.1/idp"}
    environ = {}
    for number, name in enumerate(re.findall(r"^#\s+(IDP_\w+_FILE)=", file.read_text(), re.M)):
        setting = name.removesuffix("_FILE")
        kept = tmp_path / str(number)
        kept.write_text(next((v for k, v in secrets.items() if setting.endswith(k)), "x" * 32))
        environ[name] = str(kept)
    assert unsafe(load(Settings, [file], environ)) == []


# ── routes, events, errors, metrics, commands ───────────────────────────────────────────────────


def test_every_route_is_described() -> None:
    """Each route of the application is in the table of endpoints."""
    settings = settings_for("sqlite:///nothing-is-opened.sqlite3")
    house = build(make_services(settings), settings)
    found = routes(house, Answers(house.services.templates))
    paths = [route.path for route in found if isinstance(route, Route | Mount)]
    told = {path for name in ROUTE_PAGES for path in re.findall(r"`(/[^` ]*)`", page(name))}
    made = {path.replace("/TDXConnect/", "/{realm}/") for path in paths}
    assert len(made) > 30
    assert made - told == set()


def test_every_event_is_described() -> None:
    """Each audit event is in docs/operators.md with its sentence, and no other is."""
    section = page("operators.md").partition("audit_table()")[2].partition("[[[end]]]")[0]
    assert dict(re.findall(r"^\| `(\w+\.\w+)` \| (.+) \|$", section, re.M)) == CATALOGUE


def test_every_error_is_described() -> None:
    """Each concrete error has its line in the catalogue of docs/protocol.md."""
    told = set(re.findall(r"^\| `(TF-\d+)` \| (\w+) \|", page("protocol.md"), re.M))
    made = [c for c in all_errors() if c not in (IdpError, *generate.GROUPS)]
    assert told == {(cls.code, cls.__name__) for cls in made}


def test_every_code_range_is_explained() -> None:
    """The first digits of each code are explained above the catalogue."""
    said = page("protocol.md").partition("## Errors")[2].partition("errors_table()")[0]
    families = [f.rstrip("….") for f in re.findall(r"`(TF-\d+[….]*)`", said)]
    assert [c.code for c in all_errors() if not any(c.code.startswith(f) for f in families)] == []


def test_every_metric_is_described() -> None:
    """Each metric is in docs/operators.md under the name by which it is scraped."""
    told = set(re.findall(r"^\| `(idp_\w+)` \|", page("operators.md"), re.M))
    made = {name for name, *_ in generate.metric_families()}
    assert len(made) > 5
    assert told == made


def test_every_kind_of_alarm_is_described() -> None:
    """Each kind of idp_alarms_total that the code raises is explained in docs/operators.md."""
    code = "".join(file.read_text() for file in (ROOT / "idp").rglob("*.py"))
    kinds = set(re.findall(r"ALARMS\.labels\(\"([\w-]+)\"\)", code))
    text = page("operators.md").partition("- `kind` of alarms:")[2].partition("\n\n")[0]
    assert len(kinds) > 5
    assert set(re.findall(r"`([\w-]+)`", text)) == kinds


def test_every_command_is_described() -> None:
    """Each command and subcommand is in docs/operators.md, and each option is named."""
    text = page("operators.md")
    assert len(COMMANDS) > 20
    for words, command in COMMANDS.items():
        assert re.search(rf"^\| `{re.escape(words)}[ `]", text, re.M), words
        assert command.help, f"{words} says nothing of itself"


# ── what the pages say ──────────────────────────────────────────────────────────────────────────


def fenced(file: Path, language: str) -> Iterator[str]:
    """The fenced blocks of a language, without their indentation."""
    text = file.read_text(encoding="utf-8")
    for indent, block in re.findall(rf"^( *)```{language}\n(.*?)\n *```", text, re.M | re.S):
        yield re.sub(rf"^{indent}", "", block, flags=re.M)


def shell_lines(file: Path) -> Iterator[list[str]]:
    for block in fenced(file, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                del words[0]
            if words and Path(words[0]).name == "idp":
                yield words[1:]


@in_file(*PAGES)
def test_commands_in_the_pages_exist(file: Path) -> None:
    """Whoever copies a command finds that it, its options and its arguments exist."""
    for words in shell_lines(file):
        while words[0] in ("-c", "--config"):
            words = words[2:]
        size = next((n for n in (2, 1) if " ".join(["idp", *words[:n]]) in COMMANDS), 0)
        assert size, f"there is no command {words}"
        command = COMMANDS[" ".join(["idp", *words[:size]])]
        parser = command.make_parser(click.Context(command))
        _, too_many, _ = parser.parse_args(words[size:])  # raises for an unknown option
        assert not too_many, f"{words}: {too_many} is too much"


def anchors(file: Path) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@in_file(*PAGES)
def test_make_targets_in_the_pages_exist(file: Path) -> None:
    """A target of `make` that a page names is in the Makefile."""
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", file.read_text(encoding="utf-8"), re.M)
    assert {a or b for a, b in named} - known == set()


@in_file(*PAGES)
def test_links_lead_somewhere(file: Path) -> None:
    """Each relative link and image exists, and so does the heading that it names."""
    text = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (file.parent / path).resolve() if path else file
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@in_file(*PAGES)
def test_tests_that_are_named_exist(file: Path) -> None:
    """A promise that names a test has it."""
    for path, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", file.read_text()):
        assert (ROOT / path).exists(), path
        nodes = ast.parse((ROOT / path).read_text()).body
        named = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert not test or test in named, f"{path}::{test}"


@in_file(*PAGES)
def test_toml_in_the_pages_can_be_read(file: Path) -> None:
    """An example that is copied is at least TOML."""
    for block in fenced(file, "toml"):
        tomllib.loads(block)


@in_file(*PAGES)
def test_python_in_the_pages_can_be_read(file: Path) -> None:
    """An example that is copied is at least Python."""
    for block in fenced(file, "python"):
        ast.parse(block)


def test_settings_named_in_the_pages_exist() -> None:
    """A setting that a page names by its variable is one."""
    known = {s.name.replace(".NAME.", ".library.") for s in generate.settings()}
    for file in PAGES:
        for name in re.findall(r"\bIDP_[A-Z0-9_]*__[A-Z0-9_]*[A-Z]", file.read_text()):
            plain = name.removeprefix("IDP_").removesuffix("_FILE").lower().replace("__", ".")
            assert plain in known, f"{name_of(file)}: {name}"


def test_the_rooms_are_those_of_the_contract() -> None:
    """docs/architecture.md names every room of the package, as the import contracts do."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(c for c in project["contracts"] if c["type"] == "layers")
    rooms = {room for layer in layers["layers"] for room in layer.split(" | ")}
    rooms |= set(layers["exhaustive_ignores"])
    told = set(re.findall(r"^\| `idp\.(\w+)` \|", page("architecture.md"), re.M))
    there = {
        found.stem
        for found in (ROOT / "idp").iterdir()
        if found.suffix == ".py" or (found / "__init__.py").exists()
    }
    assert rooms == told == there - {"__init__"}


def test_every_table_is_described() -> None:
    """docs/architecture.md names every table."""
    from idp.kernel.tables import metadata

    section = page("architecture.md").partition("## Tables")[2].partition("\n## ")[0]
    assert set(metadata.tables) <= set(re.findall(r"`(\w+)`", section))


def test_every_specification_has_its_line() -> None:
    """The table of docs/protocol.md has four columns; who says that something is supported names
    a test, and who supports nothing says why."""
    section = page("protocol.md").partition("## Specifications")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    named = [tuple(cell.strip() for cell in row) for row in rows[2:]]
    assert len(named) > 20
    assert len({row[0] for row in named}) == len(named)
    for name, supported, refused, test in named:
        assert re.search(r"`tests/", test) if supported else refused, name
