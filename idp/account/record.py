"""One's own history as a file, for a spreadsheet (RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from idp.kernel.templates import SOURCE, Templates
from idp.kernel.web import no_store

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would calculate
_BOM = "\ufeff"  # without it a spreadsheet takes Chinese for another encoding


def answer(templates: Templates, language: str, lines: Iterable[Mapping[str, Any]]) -> Response:
    """In the words of the page."""
    own, known = (templates.words(f"{room}/_words.html", language) for room in ("account", "oidc"))
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(own.columns)
    for line in lines:
        service, method = line["service"], line["method"]
        name = service["name"] if language == SOURCE else service["name_en"] or service["name"]
        given = ", ".join(known.claim_names.get(claim, claim) for claim in line["claims"])
        cells = (
            line["when"]["text"],
            name,
            service["agency"],
            known.method_names.get(method, method),
            own.results[line["result"]],
            given,
        )
        rows.writerow([_plain(cell) for cell in cells])
    headers = {"Content-Disposition": 'attachment; filename="record.csv"'}
    return no_store(Response(_BOM + file.getvalue(), media_type="text/csv", headers=headers))


def _plain(cell: str) -> str:
    """A name that begins like a formula is text."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
