"""What ships for operators keeps its promises, as far as it can be checked without running it."""

import configparser
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy/systemd/idp.service"
SCRIPTS = ["tests/services/install.sh", "tests/node/install.sh", "deploy/debian-venv.sh", ".ci/run"]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, arguments), continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word.upper(), rest) for word, _, rest in (line.partition(" ") for line in lines)]


def last_stage() -> list[tuple[str, str]]:
    """What the image itself is made of, its builders left out."""
    steps = instructions()
    start = max(n for n, (word, _) in enumerate(steps) if word == "FROM")
    return steps[start:]


def test_the_image_does_not_run_as_root() -> None:
    """The last USER of the image is a number that is not root's, so that it can be verified."""
    users = [rest for word, rest in last_stage() if word == "USER"]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", users[-1])


def test_the_image_says_whether_it_is_well() -> None:
    """The image has a health check, and its command is ours, without a shell."""
    steps = dict(last_stage())
    assert steps["HEALTHCHECK"].endswith('CMD ["idp", "healthcheck"]')
    assert steps["ENTRYPOINT"] == '["idp"]'
    assert steps["CMD"].startswith('["serve"')


def test_the_image_is_built_from_what_exists() -> None:
    """Every file that the image copies is in the repository and let through .dockerignore."""
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    for word, rest in instructions():
        if word != "COPY" or rest.startswith("--from"):
            continue
        for source in rest.split()[:-1]:
            assert source in let_through
            assert (ROOT / source).exists()


def test_the_image_holds_no_secret() -> None:
    """No key, configuration or environment secret goes into the image."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert "*" in ignored
    assert "!keys" not in ignored
    assert not [rest for word, rest in instructions() if word in {"ARG", "ADD"}]


def test_the_image_installs_by_hash() -> None:
    """Nothing goes into the image that the lock files do not pin."""
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert all("--require-hashes" in rest or "--no-index" in rest for rest in installs)


@pytest.mark.parametrize(
    "promise",
    ["NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "DynamicUser=yes",
     "SystemCallFilter=@system-service", "TimeoutStopSec=35", "Restart=on-failure"],
)  # fmt: skip
def test_the_unit_is_hardened(promise: str) -> None:
    """The service runs without privileges, and a lost one comes back."""
    assert promise in UNIT.read_text().splitlines()


def test_the_unit_hands_secrets_over_as_credentials() -> None:
    """The master key and the database's password are in no environment and no command line."""
    text = UNIT.read_text()
    assert "LoadCredential=master.key:" in text
    for setting in re.findall(r"^Environment=(\S+)", text, re.MULTILINE):
        if "KEY" in setting or "URL" in setting:
            assert re.fullmatch(r"IDP_\w+_FILE=%d/\S+", setting)


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """systemd reads the unit without a complaint and rates its exposure as low."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed (Debian package: systemd)")
    unit = tmp_path / "idp.service"
    unit.write_text(UNIT.read_text().replace("/opt/idp/bin/idp", "/bin/true"))
    checked = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    ours = [line for line in checked.stderr.splitlines() if "idp.service" in line]
    assert (checked.returncode, ours) == (0, [])
    rated = subprocess.run(
        [analyze, "security", "--offline=yes", "--no-pager", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout


def test_compose_hardens_every_container() -> None:
    """Each container is read-only, without capabilities it does not need, and has no password."""
    text = (ROOT / "deploy/compose.yaml").read_text()
    services = text.partition("\nservices:\n")[2].partition("\nnetworks:\n")[0]
    blocks = re.split(r"\n(?=  \w+:\n)", services)
    assert len(blocks) == 5
    for block in blocks:
        assert "<<: *hardened" in block or "<<: *bridge" in block
    assert "read_only: true" in text
    assert "cap_drop: [ALL]" in text
    assert not re.search(r"PASSWORD: |privileged|docker\.sock", text)


def test_compose_publishes_nginx_alone() -> None:
    """Only nginx has a published port; database and counters have no way out."""
    text = (ROOT / "deploy/compose.yaml").read_text()
    assert re.findall(r"^\s+ports: (.*)$", text, re.MULTILINE) == ['["80:80", "443:443"]']
    assert "inside: { internal: true }" in text


def test_compose_and_nginx_agree() -> None:
    """Compose fills in every value that the nginx template asks for."""
    template = (ROOT / "deploy/nginx/idp.conf.template").read_text().partition("upstream idp")[2]
    compose = (ROOT / "deploy/compose.yaml").read_text()
    assert set(re.findall(r"\$\{(EDGE_\w+)\}", template)) == set(
        re.findall(r"^\s+(EDGE_\w+): ", compose, re.MULTILINE)
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_can_be_run(script: str) -> None:
    """Each script is executable and its shell can read it."""
    file = ROOT / script
    assert file.stat().st_mode & stat.S_IXUSR
    shell = file.read_text().splitlines()[0].removeprefix("#!").split()
    assert subprocess.run([*shell, "-n", str(file)], check=False).returncode == 0


def test_make_lists_its_targets() -> None:
    """`make help` names every target that a person may ask for, with a sentence."""
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (\S+)", text, re.MULTILINE))
    told = subprocess.run(
        ["make", "-s", "-C", str(ROOT), "help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MAKEFLAGS": ""},
    ).stdout
    assert set(re.findall(r"^  make ([a-z-]+) +\S", told, re.MULTILINE)) == targets
    assert {"dev", "test", "test-fast", "lint", "bench", "serve", "lock", "clean"} <= targets


def test_keys_are_ignored_by_git() -> None:
    """Nothing in keys/ but its page can be committed by accident."""
    asked = ["git", "check-ignore", "--quiet", "--no-index"]
    if not (ROOT / ".git").exists():
        pytest.skip("not a git working copy")
    for path, ignored in {
        "keys/master.key": 0,
        ".idp-dev/idp.toml": 0,
        "keys/README.md": 1,
    }.items():
        assert subprocess.run([*asked, path], cwd=ROOT, check=False).returncode == ignored


def test_the_unit_is_one_that_systemd_can_parse() -> None:
    """The unit has the three sections and no others."""
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.read(UNIT)
    assert parser.sections() == ["Unit", "Service", "Install"]
