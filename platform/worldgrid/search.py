"""Search: an axis whose values are drawn from spaces of settings, and which of its trials go on while they train.

A draw is a function of the seed and its number: the same file asks for the same trials, and a longer search begins with
those of a shorter one. Which trials go on is a function of their results, never of which worker was faster.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from worldgrid.axes import Point, check_path, label_of
from worldgrid.experiment import Experiment
from worldgrid.noise import generator
from worldgrid.spec import ConfigError, Spec, parse
from worldgrid.step import canonical

AXIS = "search"
"""What the axis is called."""
DRAWS = 100
"""Most draws for a trial that is none of those before."""
Range = tuple[float, float]


class Space(Spec):
    """What one setting is drawn from: exactly one of these."""

    choice: tuple[Any, ...] | None = None
    """One of these values, each as likely."""
    uniform: Range | None = None
    """A number from lowest to highest."""
    loguniform: Range | None = None
    """A number from lowest to highest, each order of magnitude as likely."""
    integer: tuple[int, int] | None = Field(default=None, alias="int")
    """A whole number from lowest to highest, both included."""

    @model_validator(mode="after")
    def _one(self) -> Space:
        given = [value for value in (self.choice, self.uniform, self.loguniform, self.integer) if value is not None]
        if len(given) != 1 or not given[0]:
            raise ValueError("one of choice: [...], uniform, loguniform or int: [lowest, highest] fits")
        for low, high in (found for found in (self.uniform, self.loguniform, self.integer) if found):
            if not low < high or (self.loguniform and low <= 0):
                raise ValueError("[lowest, highest] fits, lowest below highest and, for loguniform, above 0")
        return self

    def at(self, share: float) -> Any:
        """The value at a share of the space, from 0 to below 1; numbers have four digits, which people can read."""
        if self.choice:
            return self.choice[int(share * len(self.choice))]
        if self.integer:
            low, high = self.integer
            return low + int(share * (high - low + 1))
        if self.uniform:
            return _rounded(self.uniform[0] + share * (self.uniform[1] - self.uniform[0]))
        assert self.loguniform
        low_log, high_log = map(math.log, self.loguniform)
        return _rounded(math.exp(low_log + share * (high_log - low_log)))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


class Search(Spec):
    """The `search` section of a grid file."""

    trials: int = Field(ge=1)
    """How many are drawn; every other axis multiplies them."""
    spaces: Mapping[str, Mapping[str, Any]] = Field(min_length=1)
    """Setting by path -> `{choice | uniform | loguniform | int: ...}`."""
    seed: int = Field(default=0, ge=0)
    """Which trials are drawn."""
    rungs: tuple[int, ...] = ()
    """Epochs after which only the best go on (successive halving, arXiv 1502.07943); none: every trial runs to its
    end."""
    factor: int = Field(default=3, ge=2)
    """One of so many goes on at a rung (eta of Hyperband, arXiv 1603.06560, whose usual value this is)."""
    by: Literal["rollout_error", "success_rate"] = "rollout_error"
    """What is compared at a rung: how far imagined frames are from held-out ones, at the longest horizon; or planning
    with the checkpoint, which tells trials of different encoders apart too."""

    @model_validator(mode="after")
    def _rising(self) -> Search:
        if any(epoch < 1 for epoch in self.rungs) or list(self.rungs) != sorted(set(self.rungs)):
            raise ValueError("rungs: rising epochs of at least 1 fit")
        return self

    def space(self, path: str) -> Space:
        """What a setting is drawn from."""
        return parse(Space, self.spaces[path], f"search.spaces.{path}")

    def points(self) -> list[Point]:
        """The drawn trials as the values of an axis; raises ConfigError where the spaces do not hold so many."""
        spaces = {path: self.space(path) for path in self.spaces}
        found: dict[str, Point] = {}
        for number in range(DRAWS * self.trials):
            drawn = {path: space.at(_share(self.seed, number, path)) for path, space in spaces.items()}
            found.setdefault(canonical(drawn), Point(_label(drawn, spaces), drawn))
            if len(found) == self.trials:
                return list(found.values())
        raise ConfigError(f"search.trials: given {self.trials}; the spaces hold hardly more than {len(found)}")

    def told(self, trials: int) -> str:
        """What it will do with so many trials, in a line."""
        spaces = ", ".join(f"{path} {canonical(space)}" for path, space in self.spaces.items())
        line = f"search: {self.trials} draws (seed {self.seed}) of {spaces}"
        share = f"the best 1 in {self.factor} by {self.by}"
        rungs = f"; after epoch {', '.join(map(str, self.rungs))} {share} goes on, so the {trials} trials cost less"
        return line + (rungs if self.rungs else "")

    def going(self, trials: int) -> int:
        """Of so many trials, how many go on at a rung."""
        return -(-trials // self.factor)


def _share(seed: int, number: int, path: str) -> float:
    """Where draw `number` lies in a setting's space: one more space moves no draw of the others."""
    return float(generator("search", seed, number, path).random())


def _label(drawn: Mapping[str, Any], spaces: Mapping[str, Space]) -> str:
    """`lr=0.0012 depth=6`."""
    last = [path.rpartition(".")[2] for path in drawn]
    names = [path if last.count(name) > 1 else name for path, name in zip(drawn, last, strict=True)]
    values = [label_of(value, spaces[path].choice or ()) for path, value in drawn.items()]
    return " ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))


def read_search(section: object, axes: Mapping[str, object]) -> Search:
    """The `search` section of a file with these axes; raises ConfigError."""
    search = parse(Search, section, "search")
    if AXIS in axes:
        raise ConfigError(f"axes: given an axis '{AXIS}'; another name fits beside the section 'search'")
    for path in search.spaces:
        check_path(path, "search.spaces")
        if path in axes:
            raise ConfigError(f"search.spaces: '{path}' is an axis already")
    return search


def check_rungs(search: Search, experiments: Sequence[Experiment]) -> None:
    """Refuse rungs at which not every trial leaves a checkpoint that it goes on from."""
    for experiment in experiments if search.rungs else ():
        if experiment.predictor.imported is not None:
            raise ConfigError("search.rungs: given with an imported predictor; none fit, for it is not trained")
        published = experiment.train.published()[:-1]
        for epoch in search.rungs:
            if epoch not in published:
                raise ConfigError(
                    f"search.rungs: given {epoch}; epochs with a checkpoint before the last fit: those that "
                    f"train.epochs ({experiment.train.epochs}) and train.publish ({experiment.train.publish}) leave"
                )
