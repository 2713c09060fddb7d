"""Files that commands write."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gonogo import private_files
from gonogo.core.text.plain import as_json
from gonogo.errors import BadInput
from gonogo.report.report import as_html, as_markdown


def report_text(made: dict[str, Any], format_: str) -> str:
    """Return a report in one form: md, html or json."""
    if format_ == "json":
        return as_json(made)
    return as_html(made) if format_ == "html" else as_markdown(made)


def write_reports(made: dict[str, Any], folder: Path) -> list[Path]:
    """Write a report in all its forms; return the files.

    Raises:
        BadInput: the folder cannot be written to.
    """
    return [write_report(made, folder, ending) for ending in ("md", "html", "json")]


def write_report(made: dict[str, Any], folder: Path, ending: str) -> Path:
    """Write a report in one form; return the file.

    Raises:
        BadInput: the folder cannot be written to.
    """
    file = folder / f"{made['run']}.{ending}"
    write_file(file, report_text(made, ending))
    return file


def write_file(file: Path, text: str | Iterable[str]) -> None:
    """Write a file that only this account may read: what it tells is the database's.

    Args:
        file: where.
        text: what, as a whole or piece by piece.

    Raises:
        BadInput: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        private_files.write(file, text)
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}") from None
