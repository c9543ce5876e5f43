"""An experiment: the sections of one trial as values, what may not go together, and the steps they make."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from worldgrid.encoders import ENCODERS, EncoderSpec
from worldgrid.envs import ENVS, EnvSpec
from worldgrid.mpc import MPC
from worldgrid.objectives import OBJECTIVES, ObjectiveSpec
from worldgrid.planners import PLANNERS, PlannerSpec
from worldgrid.predictors import PREDICTORS, PredictorSpec
from worldgrid.spec import JSON, ConfigError, Spec, parse, suggest
from worldgrid.stages import collect, encode, evaluate, pretrain, train
from worldgrid.step import Step, canonical
from worldgrid.trained import imported

_DOORS: dict[str, Callable[[object, str], Spec]] = {
    "env": ENVS.parse,
    "encoder": ENCODERS.parse,
    "predictor": PREDICTORS.parse,
    "objective": OBJECTIVES.parse,
    "planner": PLANNERS.parse,
    "collect": collect.read,
    "pretrain": lambda section, where: parse(pretrain.Pretrain, section, where),
    "encode": lambda section, where: parse(encode.Encode, section, where),
    "train": lambda section, where: parse(train.Train, section, where),
    "mpc": lambda section, where: parse(MPC, section, where),
    "evaluate": lambda section, where: parse(evaluate.Evaluate, section, where),
}
SECTIONS = tuple(_DOORS)
"""The sections of a trial, in the order of the walk."""

_USUAL: JSON = {
    "predictor": {"kind": "transformer"},
    "objective": {"kind": "goal_distance"},
    "planner": {"kind": "cem"},
}


@dataclass(frozen=True)
class Evaluation:
    """One checkpoint of a trial's training, and the step that plays episodes with it."""

    epoch: int
    step: Step


@dataclass(frozen=True)
class Experiment:
    """The settings of one trial, validated one by one and together."""

    env: EnvSpec
    encoder: EncoderSpec
    predictor: PredictorSpec
    objective: ObjectiveSpec
    planner: PlannerSpec
    collect: collect.Collect
    pretrain: pretrain.Pretrain
    encode: encode.Encode
    train: train.Train
    mpc: MPC
    evaluate: evaluate.Evaluate

    @classmethod
    def parse(cls, settings: Mapping[str, object]) -> Experiment:
        """Sections as a user wrote them -> values; raises ConfigError for the first thing that does not fit."""
        for name in settings:
            if name not in _DOORS:
                raise ConfigError(f"unknown section '{name}'{suggest(name, _DOORS)}")
        for name in ("env", "encoder"):
            if name not in settings:
                raise ConfigError(f"{name}: missing; a section with a kind fits")
        values = {name: _value(name, _text(_filled(name, settings.get(name, {})), name)) for name in _DOORS}
        experiment = cls(**values)  # type: ignore[arg-type]
        experiment._check()
        return experiment

    def settings(self) -> dict[str, JSON]:
        """Every section with every field, defaults included."""
        return {name: getattr(self, name).recipe() for name in SECTIONS}

    def _check(self) -> None:
        """Refuse what cannot go together, before anything costs compute."""
        self.encoder.check(self.env)
        skip, keep = self.env.frameskip, self.collect.keep
        if skip % keep:
            raise ConfigError(f"collect.keep: given {keep}; a divisor of env.frameskip ({skip}) fits")
        if self.mpc.context > self.predictor.context:
            raise ConfigError(
                f"mpc.context: given {self.mpc.context}; at most predictor.context ({self.predictor.context}) fits: "
                "a predictor cannot plan with more frames than it was trained on"
            )
        if self.objective.proprio > 0 and not self.predictor.uses_proprio:
            raise ConfigError(
                f"objective.proprio: given {self.objective.proprio}; 0 fits, because this predictor has no "
                "proprioception (predictor.proprio)"
            )
        self.encoder.check(self.env)
        if self.predictor.imported is None:
            self._check_training()
        published = len(self._published())
        if self.evaluate.epochs > published:
            raise ConfigError(
                f"evaluate.epochs: given {self.evaluate.epochs}; at most {published} fits, the checkpoints that "
                f"train.epochs ({self.train.epochs}) and train.publish ({self.train.publish}) or an import leave"
            )

    def _check_training(self) -> None:
        """Refuse clips that recorded trajectories do not hold."""
        self.encoder.check(self.env)
        skip, keep = self.env.frameskip, self.collect.keep
        frames, needed = (
            self.train.clip_frames(self.predictor.context),
            self.train.needed_frames(self.predictor.context),
        )
        if frames < needed:
            raise ConfigError(f"train.frames: given {frames}; at least {needed} fits this context and rollout")
        if (frames - 1) * skip > self.collect.steps // keep * keep:
            raise ConfigError(
                f"collect.steps: given {self.collect.steps}; at least {(frames - 1) * skip} fits: training clips have "
                f"{frames} frames, {skip} simulator steps apart"
            )

    def training(self) -> Step:
        """The step that trains this trial's predictor, with all it needs; for an imported one, the finished import."""
        if self.predictor.imported is not None:
            return imported(self.predictor)
        trajectories, encoder, frozen = self._trajectories(), *self._encoder()
        encoded = {"env": self._recorded(), "encode": self.encode.recipe()} | encoder
        inputs = {"trajectories": trajectories} | self._weights(trajectories)
        latents = _step("encode", encode.VERSION, encoded, frozen, **inputs)
        config = {"env": self.env.recipe(), "predictor": self.predictor.recipe(), "train": self.train.recipe()}
        return _step("train", train.VERSION, config, latents=latents)

    def evaluations(self) -> list[Evaluation]:
        """The last `evaluate.epochs` checkpoints, each as a step."""
        inputs = {"train": self.training()} | self._weights(self._trajectories())
        played = {name: value for name, value in self.evaluate.recipe().items() if name != "epochs"}
        sections = {name: getattr(self, name).recipe() for name in ("env", "objective", "planner", "mpc")}
        encoder, frozen = self._encoder()
        config = sections | encoder | {"evaluate": played}
        return [
            Evaluation(epoch, _step("evaluate", evaluate.VERSION, config | {"epoch": epoch}, frozen, **inputs))
            for epoch in self._published()[-self.evaluate.epochs :]
        ]

    def _published(self) -> list[int]:
        """Epochs that left a checkpoint."""
        return self.train.published() if self.predictor.imported is None else [self.predictor.imported]

    def _recorded(self) -> JSON:
        """What recorded trajectories depend on of the env."""
        return {name: value for name, value in self.env.recipe().items() if name != "frameskip"}

    def _trajectories(self) -> Step:
        return _step("collect", collect.VERSION, {"env": self._recorded(), "collect": self.collect.recipe()})

    def _encoder(self) -> tuple[JSON, str | None]:
        """The encoder's settings and, for frozen weights from outside, what they contain; and where those are."""
        frozen = self.encoder.frozen()
        if frozen is None:
            return {"encoder": self.encoder.recipe()}, None
        return {"encoder": self.encoder.recipe(), "weights": frozen.content}, str(frozen.path)

    def _weights(self, trajectories: Step) -> dict[str, Step]:
        if not self.encoder.learned:
            return {}
        config = {"env": self.env.recipe(), "encoder": self.encoder.recipe(), "pretrain": self.pretrain.recipe()}
        return {"weights": _step("pretrain", pretrain.VERSION, config, trajectories=trajectories)}


def _filled(name: str, section: object) -> object:
    """A section that names no kind has the usual one."""
    return _USUAL[name] | section if name in _USUAL and isinstance(section, dict) else section


def _text(section: object, name: str) -> str:
    try:
        return canonical(section)
    except (TypeError, ValueError):
        raise ConfigError(f"{name}: holds a value that is no text, number, list or section") from None


@lru_cache(maxsize=65536)
def _value(name: str, text: str) -> Spec:
    return _DOORS[name](json.loads(text), name)


def _step(stage: str, version: int, config: JSON, frozen: str | None = None, **inputs: Step) -> Step:
    return _shared_step(stage, version, canonical(config), frozen, tuple(inputs.items()))


@lru_cache(maxsize=65536)
def _shared_step(
    stage: str, version: int, config: str, frozen: str | None, inputs: tuple[tuple[str, Step], ...]
) -> Step:
    return Step(stage, version, json.loads(config), dict(inputs), frozen)
