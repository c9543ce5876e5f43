"""The one door for what a user wrote: YAML sections become frozen values here, or one clear line says why not."""

from __future__ import annotations

import difflib
import importlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

JSON = dict[str, Any]
"""A JSON object: text, numbers, booleans, null, lists and objects."""


class ConfigError(ValueError):
    """What a user wrote cannot be run; the message is one line naming what was given and what would fit."""


class Spec(BaseModel):
    """Base of every setting: frozen, no unknown fields, no silent conversions, no NaN."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    def recipe(self) -> JSON:
        """Every field, defaults included, as JSON values: what enters a step's key."""
        return self.model_dump(mode="json")


S = TypeVar("S", bound=Spec)


def suggest(given: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` when something known is close to `given`, else `; there are a, b` if there are any."""
    names = sorted(known)
    if not names:
        return ""
    close = difflib.get_close_matches(given, names, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; there are {', '.join(names)}"


def parse(kind: type[S], section: object, where: str) -> S:
    """Turn the mapping a user wrote at `where` into a `kind`; raises ConfigError in one line."""
    if not isinstance(section, Mapping):
        raise ConfigError(f"{where}: given {_shown(section)}; a section of settings (name: value) fits")
    try:
        return kind.model_validate_json(json.dumps(section))
    except ValidationError as error:
        raise ConfigError(_line(kind, where, error)) from None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None


_WANTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a section",
    "model_type": "a section",
}


def _line(kind: type[Spec], where: str, error: ValidationError) -> str:
    first, *others = error.errors()
    *inside, name = [where, *(str(part) for part in first["loc"])]
    place = ".".join([*inside, name])
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        section = _inner(kind, inside[1:])
        known = suggest(name, section.model_fields.keys() - {"kind"})
        return f"{'.'.join(inside)}: {section.__name__} has no {name!r}{known}{more}"
    if first["type"] == "missing":
        return f"{place}: missing{more}"
    wanted = _WANTED.get(first["type"])
    message = f"{wanted} fits" if wanted else first["msg"].removeprefix("Value error, ")
    return f"{place}: given {_shown(first['input'])}; {_lower(message)}{more}"


def _inner(kind: type[Spec], path: Iterable[str]) -> type[Spec]:
    """The section to which a path of field names leads."""
    for name in path:
        kind = cast(type[Spec], kind.model_fields[name].annotation)
    return kind


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Family(Generic[S]):
    """A table of interchangeable members: kind -> `module:Class`, imported only when asked for."""

    def __init__(self, name: str, contract: type[S], members: Mapping[str, str]) -> None:
        self.name = name
        self.contract = contract
        self.members = dict(members)

    def member(self, kind: str) -> type[S]:
        """The class of a kind: a row of the table, or an address `package.module:Class` from outside."""
        address = self.members.get(kind, kind)
        if ":" not in address:
            raise ConfigError(f"unknown {self.name} '{kind}'{suggest(kind, self.members)}")
        module, _, name = address.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError, TypeError) as error:
            raise ConfigError(f"{self.name} '{kind}' cannot be imported: {error}") from error
        if not (isinstance(found, type) and issubclass(found, self.contract)):
            raise ConfigError(f"{self.name} '{kind}' is not a {self.contract.__name__}")
        return found

    def parse(self, section: object, where: str | None = None) -> S:
        """The member that a section with a `kind` describes."""
        place = where or self.name
        if not isinstance(section, Mapping) or not isinstance(section.get("kind"), str):
            kinds = "|".join(sorted(self.members))
            raise ConfigError(f"{place}: given {_shown(section)}; a section with a kind fits: {{kind: {kinds}}}")
        return parse(self.member(section["kind"]), section, place)


class _Loader(yaml.SafeLoader):
    """YAML of JSON's values only: `5e-4` is a number; `on`, `yes`, `010`, `1:30` and dates stay text (YAML 1.2)."""


_TAG = "tag:yaml.org,2002:"
_Loader.yaml_constructors = {
    tag: build
    for tag, build in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_TAG) in ("null", "bool", "int", "float", "str", "seq", "map")
}
_Loader.yaml_implicit_resolvers = {
    first: [rule for rule in rules if rule[0].removeprefix(_TAG) in ("null", "merge")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_FLOAT = r"[-+]?(?:(?:\d[\d_]*\.[\d_]*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|Inf)|\.(?:nan|NaN))"
_Loader.add_implicit_resolver(_TAG + "bool", re.compile(r"^(?:true|false|True|False|TRUE|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(_TAG + "int", re.compile(r"^[-+]?(?:0|[1-9][\d_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(_TAG + "float", re.compile(f"^{_FLOAT}$"), list("-+0123456789."))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        if key_node.tag == _TAG + "merge":
            continue
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a name must be text", key_node.start_mark)
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"'{key}' stands twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor(_TAG + "map", _mapping)


def read_yaml(text: str, where: str) -> Any:
    """The value of a YAML text; `where` names the source in the one-line ConfigError."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{where}{line}: not YAML: {problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{where}: not YAML: {' '.join(str(error).split())}") from None


def read_override(text: str, fits: str) -> tuple[str, Any]:
    """Name and value of a `name=value` from the command line; `fits` names both in the one-line ConfigError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"override '{text}': {fits} fit")
    return name, read_yaml(value, f"override '{text}'")


def read_text(path: Path) -> str:
    """The text of a file a user named; raises ConfigError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
