"""YAML as plain values that remember their line and their number's text.

Numbers and booleans are those of YAML 1.2 (``1e-5`` is a number, ``no`` is text). Strings that
begin with ``CANON.`` are replaced by the registry's value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

import yaml

from avalattice import canon
from avalattice.errors import ConfigError

KeyPath: TypeAlias = tuple[str | int, ...]
_NEAREST_CUTOFF = 0.5
_MOST_VALUES = 100_000
"""Far more than any configuration has; a few aliases of aliases could stand for billions."""
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


def dotted(path: KeyPath) -> str:
    """A key path as it is written in messages: ``gain.grid[2]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(name: str, valid: Iterable[str]) -> str:
    """A phrase that proposes the nearest valid name, or nothing."""
    match = difflib.get_close_matches(name, list(valid), n=1, cutoff=_NEAREST_CUTOFF)
    return f"; did you mean {match[0]}?" if match else ""


class NumberText(float):
    """A float that remembers the text it was written with."""

    text: str

    def __new__(cls, text: str) -> NumberText:
        """Parse a YAML 1.2 float."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __repr__(self) -> str:
        """The text, so that messages show what was written."""
        return self.text


class _Loader(yaml.SafeLoader):
    """Safe YAML with the number and boolean words of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as in the base class


for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"true|false|True|False|TRUE|FALSE", "tTfF"),
    (_INT, r"[-+]?[0-9]+", "-+0123456789"),
    (
        _FLOAT,
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
        "-+0123456789.",
    ),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", "~nN\0"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.yaml_implicit_resolvers.setdefault("", []).append(
    ("tag:yaml.org,2002:null", re.compile(r"^$"))
)


@dataclass(frozen=True)
class Document:
    """A YAML document as plain values, with the line of every key path."""

    source: str
    values: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """``file:line`` of the key, or of the nearest ancestor that is written down."""
        while path and path not in self.lines:
            path = path[:-1]
        line = self.lines.get(path)
        return self.source if line is None else f"{self.source}:{line}"


def _construct(node: yaml.Node, path: KeyPath, source: str, lines: dict[KeyPath, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if len(lines) > _MOST_VALUES:
        raise ConfigError(f"{source}: more than {_MOST_VALUES:,} values; do aliases name aliases?")
    if isinstance(node, yaml.MappingNode):
        return _construct_mapping(node, path, source, lines)
    if isinstance(node, yaml.SequenceNode):
        return [
            _construct(item, (*path, index), source, lines) for index, item in enumerate(node.value)
        ]
    loader = _Loader("")
    try:
        if node.tag == _FLOAT:
            return NumberText(node.value)
        # the base class reads 010 as octal, as YAML 1.1 does
        return int(node.value) if node.tag == _INT else loader.construct_object(node)
    except (yaml.MarkedYAMLError, ValueError) as error:
        reason = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
        raise ConfigError(
            f"{source}:{node.start_mark.line + 1}: {dotted(path)}: not a value: {reason}"
        ) from error
    finally:
        loader.dispose()


def _construct_mapping(
    node: yaml.MappingNode, path: KeyPath, source: str, lines: dict[KeyPath, int]
) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in mapping:
            raise ConfigError(f"{source}:{line}: key {dotted((*path, key))} is written twice")
        lines[(*path, key)] = line
        mapping[key] = _construct(value_node, (*path, key), source, lines)
    return mapping


def parse(text: str, source: str) -> Document:
    """Parse YAML text whose root is a mapping.

    Raises:
        ConfigError: not YAML, not a mapping, or a key written twice.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is None:
            return Document(source, {})
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{source}:1: a configuration is a mapping of sections")
        lines: dict[KeyPath, int] = {}
        return Document(source, _construct(node, (), source, lines), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        raise ConfigError(f"{where}: not valid YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{source}:{line}: not valid YAML: {error.reason}") from error
    except RecursionError:
        raise ConfigError(
            f"{source}: nested too deeply; does an alias stand inside what it names?"
        ) from None


def resolve_references(value: Any, path: KeyPath, document: Document) -> Any:
    """Replace every ``CANON.`` reference by what it stands for.

    Raises:
        ConfigError: the registry has no such value; the nearest name is proposed.
    """
    if isinstance(value, dict):
        return {k: resolve_references(v, (*path, k), document) for k, v in value.items()}
    if isinstance(value, list):
        return [resolve_references(v, (*path, i), document) for i, v in enumerate(value)]
    if not (isinstance(value, str) and value.startswith(canon.PREFIX)):
        return value
    try:
        found = canon.lookup(value)
    except KeyError:
        near = nearest(value, canon.names())
        raise ConfigError(
            f"{document.where(path)}: {dotted(path)}: {value} is not in the registry{near}; "
            "`avalattice canon` prints it"
        ) from None
    if isinstance(found, dict):
        raise ConfigError(f"{document.where(path)}: {dotted(path)}: {value} names a whole section")
    return found


def dump(values: dict[str, Any]) -> str:
    """Plain values as YAML, decimals as numbers, in the order given."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        if isinstance(value, Decimal):
            return float(value)
        return str(value) if isinstance(value, str) else value

    return yaml.safe_dump(plain(values), sort_keys=False, allow_unicode=True)
