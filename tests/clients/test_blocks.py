"""What the tests take from a page is what the page prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import blocks
from tests.clients.blocks import Recipe, pasted

PAGE = """# A product

## Register

```sh
idp client create --name "A product" \\
    --redirect-uri http://here/cb
```

## Configure

1. First:

   ```python
   # one.py
   if True:
       pass
   ```

### More

```python
# two.py
```

## Log in
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    (tmp_path / "product.md").write_text(PAGE)
    monkeypatch.setattr(blocks, "CLIENTS", tmp_path)
    return Recipe("product")


def test_a_block_is_found_by_heading_language_and_text(page: Recipe) -> None:
    """An indented block loses its indentation; a comment in code is no heading."""
    assert page.block("Configure", "python", "# one.py") == "# one.py\nif True:\n    pass\n"
    assert page.block("More", "python") == "# two.py\n"
    assert len(page.blocks("Configure", "python")) == 2
    assert page.blocks("Log in", "python") == []


def test_a_block_that_is_not_the_only_one_is_an_error(page: Recipe) -> None:
    """A test cannot take the wrong lines, nor none at all."""
    for heading, language in [("Configure", "python"), ("Configure", "toml"), ("Nothing", "sh")]:
        with pytest.raises(AssertionError):
            page.block(heading, language)


def test_the_registration_is_the_options_of_client_create(page: Recipe) -> None:
    """They are read as a shell reads them."""
    made = page.registration({"http://here": "http://there"})
    assert made == ["--name", "A product", "--redirect-uri", "http://there/cb"]


def test_what_is_filled_in_must_be_there() -> None:
    """A page that no longer says what the test replaces fails; nothing is replaced twice."""
    assert pasted("a b", {"a": "b", "b": "c"}) == "b c"
    with pytest.raises(AssertionError):
        pasted("a b", {"d": "e"})
