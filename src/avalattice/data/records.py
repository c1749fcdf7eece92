"""Records: where data files and Hub data sets are found, and what is said if they are not.

Files are read as UTF-8; a .jsonl file holds one record a line. Hub data sets are streamed by the
optional ``datasets`` package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from avalattice.errors import DataError

_HUB_SOURCE = re.compile(
    r"hf:(?P<name>[\w.-]+/[\w.-]+)(?:/(?P<config>[\w.-]+))?"
    r":(?P<split>[\w\[\]%:+-]+?)(?:@(?P<revision>[\w./-]+))?"
)


def data_file(path: Path, suffixes: Iterable[str]) -> Path:
    """The path, if there is a file of one of these suffixes.

    Raises:
        DataError: there is none; the message says where it looked.
    """
    if not path.is_file():
        raise DataError(f"data file {path}: no such file (looked in {Path.cwd()})")
    if path.suffix not in suffixes:
        raise DataError(f"data file {path}: use one of {', '.join(suffixes)}")
    return path


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data file {path}: cannot be read as UTF-8 text ({error})") from error


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a file that are not blank, each with its place as ``file:line``.

    Raises:
        DataError: the file cannot be read.
    """
    # not splitlines(): JSON strings may hold U+2028 and the like as they are
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", line


@dataclass(frozen=True)
class HubSource:
    """A split of a Hub data set."""

    source: str
    """As written in the configuration."""
    name: str
    """``ORG/NAME``."""
    config: str | None
    """The data set's own configuration."""
    split: str
    revision: str | None
    """The revision, where the source names one."""

    @classmethod
    def parse(cls, source: str) -> HubSource:
        """The split that a source names.

        Raises:
            DataError: it has another form.
        """
        match = _HUB_SOURCE.fullmatch(source)
        if match is None:
            raise DataError(f"data source {source!r}: use hf:ORG/NAME[/CONFIG]:SPLIT@REVISION")
        return cls(source, match["name"], match["config"], match["split"], match["revision"])

    def records(self) -> Iterator[dict[str, object]]:
        """The records anew, in order.

        Raises:
            DataError: ``datasets`` is not installed, or the Hub fails.
        """
        try:
            import datasets
        except ImportError as error:
            raise DataError(
                f"{self.source}: Hub datasets need the optional `datasets` package: "
                "pip install 'avalattice[hub]'"
            ) from error
        try:
            yield from datasets.load_dataset(
                self.name, self.config, split=self.split, revision=self.revision, streaming=True
            )
        except Exception as error:
            raise DataError(
                f"{self.source}: cannot be loaded from the Hub ({type(error).__name__}: {error}). "
                "Check the name and the network, or use a local file: source"
            ) from error
