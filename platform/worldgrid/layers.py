"""Layers: a grid file on top of those it extends, and on top of all of them the variant that was chosen.

Every layer is written like a grid file. What stands in an upper layer replaces what it names in a lower one: a setting
or a whole section of `base`, a label of an axis, an axis, a rule. Only the rules of `adjust` add up.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from worldgrid.spec import JSON, ConfigError, read_text, read_yaml, suggest

DEEPEST = 5
"""Most files on top of each other: beyond them nobody finds where a setting comes from."""
_VARIED = ("base", "axes", "search", "adjust", "exclude", "baseline", "scale")
_TOP = ("name", "store", "extends", "variants", "variant", *_VARIED)
_MAPPINGS = ("base", "axes", "search", "baseline", "scale", "variants")


@dataclass(frozen=True)
class Sheet:
    """A grid file and those below it, as one."""

    content: JSON
    """Its sections, without `extends`; `base` and `scale` are dotted path -> value."""
    files: tuple[Path, ...]
    """All of them, the lowest first."""
    text: str
    """Theirs, one after the other."""
    question: str
    """The first comment of the file itself."""

    def varied(self, chosen: str | None) -> JSON:
        """The sections with a variant on top: the one chosen, else the one that `variant` names."""
        variants, name = self.content.get("variants", {}), chosen or self.content.get("variant")
        if name is None and not variants:
            return self.content
        if name not in variants:
            given = "missing" if name is None else f"given {name!r}"
            there = suggest(str(name), variants) if variants else "; this grid has no variants"
            raise ConfigError(f"{self.files[-1]}: variant: {given}{there}")
        return _over(self.content, variants[name])


def read_sheet(text: str, where: str) -> Sheet:
    """A grid file's text with all that it extends, relative to where it lies. Raises ConfigError in one line."""
    layers = _layers(text, Path(where), ())
    contents = [content for _, _, content in layers]
    merged = reduce(_over, contents)
    if "base" not in merged:
        raise ConfigError(f"{where}: a grid file has a section 'base' with the settings of a trial, and maybe 'axes'")
    own = {name: contents[-1][name] for name in ("name",) if name in contents[-1]}
    rest = {name: value for name, value in merged.items() if name not in ("name", "extends")}
    texts = [text for _, text, _ in layers]
    whole = texts[0] if len(texts) == 1 else "\n".join(f"# {path.name}\n{text}" for path, text, _ in layers)
    return Sheet(rest | own, tuple(path for path, _, _ in layers), whole, _question(text))


Layer = tuple[Path, str, JSON]


def _layers(text: str, file: Path, above: tuple[Path, ...]) -> list[Layer]:
    """A file and those it stands on, the lowest first; `above` are those that stand on it."""
    content = _checked(read_yaml(text, str(file)), str(file))
    below, chain = content.get("extends"), (*above, file.resolve())
    if below is None:
        return [(file, text, content)]
    if not isinstance(below, str) or not below:
        raise ConfigError(f"{file}: extends: given {below!r}; a grid file, relative to this one, fits")
    other = file.parent / below
    if other.resolve() in chain:
        raise ConfigError(f"{file}: extends: given '{below}', which extends this file; one that does not fits")
    if len(chain) == DEEPEST:
        raise ConfigError(f"{file}: extends: given '{below}'; at most {DEEPEST} files on top of each other fit")
    return [*_layers(read_text(other), other, chain), (file, text, content)]


def _checked(content: object, where: str, known: tuple[str, ...] = _TOP) -> JSON:
    """A layer whose sections are what they should be."""
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where}: a grid file has a section 'base' with the settings of a trial, and maybe 'axes'")
    for key in content:
        if key not in known:
            raise ConfigError(f"{where}: unknown section '{key}'{suggest(str(key), known)}")
    checked = {key: value for key, value in content.items() if value is not None}
    for name in _MAPPINGS:
        if not isinstance(checked.get(name, {}), Mapping):
            raise ConfigError(f"{where}: {name}: given {checked[name]!r}; a section (name: value) fits")
    for name in ("adjust", "exclude"):
        if not isinstance(checked.get(name, []), list):
            raise ConfigError(f"{name}: given {checked[name]!r}; a list of rules fits")
    for name, variant in checked.get("variants", {}).items():
        _checked(variant, f"{where}: variants.{name}", _VARIED)
    return checked


def _over(below: JSON, above: JSON) -> JSON:
    """One layer on top of another."""
    found = below | above
    both = below.keys() & above.keys()
    for name in both & {"base", "scale"}:
        found[name] = _settings_over(below[name], above[name])
    if "axes" in both:
        found["axes"] = below["axes"] | {
            axis: _axis_over(below["axes"].get(axis), values) for axis, values in above["axes"].items()
        }
    if "variants" in both:
        names = [*below["variants"], *(name for name in above["variants"] if name not in below["variants"])]
        found["variants"] = {
            name: _over(below["variants"].get(name, {}), above["variants"].get(name, {})) for name in names
        }
    if "adjust" in both:
        found["adjust"] = [*below["adjust"], *above["adjust"]]
    return found


def _axis_over(below: object, above: object) -> object:
    """Labels with settings add up, and so do the settings of a label; any other axis is replaced."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{label: _label_over(below.get(label), given) for label, given in above.items()}}


def _label_over(below: object, above: object) -> object:
    return _settings_over(below, above) if isinstance(below, Mapping) and isinstance(above, Mapping) else above


def _settings_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> JSON:
    """Dotted path -> value; a path replaces what lies inside it."""
    kept = {path: value for path, value in below.items() if not any(_inside(path, upper) for upper in above)}
    return {**kept, **above}


def _inside(path: str, upper: str) -> bool:
    return f"{path}.".startswith(f"{upper}.")


def _question(text: str) -> str:
    """The first block of comment lines, less a line that only names the file."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    words = [line.lstrip("# ").strip() for line in lines]
    return " ".join(word for word in words if word and not word.endswith((".yaml", ".yml")))
