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
from worldgrid.policies import POLICIES
from worldgrid.predictors import PREDICTORS, PredictorSpec
from worldgrid.spec import JSON, ConfigError, Spec, parse, suggest
from worldgrid.stages import collect, encode, evaluate, pretrain, tasks, train
from worldgrid.step import Step, canonical
from worldgrid.trained import imported
from worldgrid.training import Train

_DOORS: dict[str, Callable[[object, str], Spec]] = {
    "env": ENVS.parse,
    "encoder": ENCODERS.parse,
    "predictor": PREDICTORS.parse,
    "objective": OBJECTIVES.parse,
    "planner": PLANNERS.parse,
    "collect": collect.read,
    "pretrain": pretrain.read,
    "encode": lambda section, where: parse(encode.Encode, section, where),
    "train": lambda section, where: parse(Train, section, where),
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


ABSENT = "not on this machine"
"""The content of weights that nobody read, in the keys of steps that are only shown."""


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
    collect: collect.Collect | collect.Ingested
    pretrain: pretrain.Pretrain
    encode: encode.Encode
    train: Train
    mpc: MPC
    evaluate: evaluate.Evaluate
    without_weights: bool = False
    """Whether frozen weights that are not on this machine are done without: to show and to price, not to run."""

    @classmethod
    def parse(cls, settings: Mapping[str, object], *, without_weights: bool = False) -> Experiment:
        """Sections as a user wrote them -> values; raises ConfigError for the first thing that does not fit."""
        for name in settings:
            if name not in _DOORS:
                raise ConfigError(f"unknown section '{name}'{suggest(name, _DOORS)}")
        for name in ("env", "encoder"):
            if name not in settings:
                raise ConfigError(f"{name}: missing; a section with a kind fits")
        values = {name: _value(name, _text(_filled(name, settings.get(name, {})), name)) for name in _DOORS}
        experiment = cls(**values, without_weights=without_weights)  # type: ignore[arg-type]
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
        if self.predictor.streaming and self.mpc.context != self.predictor.context:
            raise ConfigError(
                f"mpc.context: given {self.mpc.context}; predictor.context ({self.predictor.context}) fits: a "
                "streaming predictor plans with the frames it was trained with"
            )
        if self.objective.proprio > 0 and not self.predictor.uses_proprio:
            raise ConfigError(
                f"objective.proprio: given {self.objective.proprio}; 0 fits, because this predictor has no "
                "proprioception (predictor.proprio)"
            )
        if not self.env.simulated:
            self._check_recordings()
        if isinstance(self.collect, collect.Collect):
            POLICIES.parse(self.collect.policy, "collect.policy").check(self.env)
        if self.evaluate.goals not in (self.env.drawn_goals, "dataset"):
            raise ConfigError(
                f"evaluate.goals: given '{self.evaluate.goals}'; "
                f"{' or '.join(dict.fromkeys((self.env.drawn_goals, 'dataset')))} fits env '{self.env.kind}'"
            )
        if self.evaluate.goals == "dataset" and self.mpc.steps > self.collect.steps // keep * keep:
            raise ConfigError(
                f"mpc.steps: given {self.mpc.steps}; at most collect.steps ({self.collect.steps}) fits: goals lie "
                "mpc.steps after their starts in recorded trajectories"
            )
        if self.predictor.imported is None:
            self._check_training()
        published = len(self._published())
        if self.evaluate.epochs > published:
            raise ConfigError(
                f"evaluate.epochs: given {self.evaluate.epochs}; at most {published} fits, the checkpoints that "
                f"train.epochs ({self.train.epochs}) and train.publish ({self.train.publish}) or an import leave"
            )

    def _check_recordings(self) -> None:
        """Refuse to act where nothing can be acted in."""
        if isinstance(self.collect, collect.Collect):
            raise ConfigError(
                f"collect: env '{self.env.kind}' has no simulator; the section that `worldgrid ingest` prints fits"
            )
        if self.mpc.steps > self.mpc.execute * self.env.frameskip:
            raise ConfigError(
                f"mpc.steps: given {self.mpc.steps}; at most mpc.execute x env.frameskip "
                f"({self.mpc.execute * self.env.frameskip}) fits env '{self.env.kind}': recordings are planned once"
            )

    def _check_training(self) -> None:
        """Refuse clips that recorded trajectories do not hold."""
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
        config = {"env": self.env.recipe(), "predictor": self.predictor.recipe(), "train": self.train.recipe()}
        return _step("train", train.VERSION, config, latents=self.latents())

    def latents(self) -> Step:
        """The step that encodes this trial's data: what its predictor is trained on, and a decoder draws."""
        trajectories, encoder, frozen = self._trajectories(), *self._encoder()
        encoded = {"env": self._recorded(), "encode": self.encode.recipe()} | encoder
        inputs = {"trajectories": trajectories} | self._weights(trajectories)
        return _step("encode", encode.VERSION, encoded, frozen, **inputs)

    def tasks(self) -> Step:
        """The step that draws the starts and goals of the evaluations, the same for every trial that plays them."""
        wanted = {name: getattr(self.evaluate, name) for name in ("episodes", "seed", "goals")}
        config = {"env": self._recorded(), "tasks": wanted, "steps": self.mpc.steps}
        if self.evaluate.goals != "dataset":
            return _step("tasks", tasks.VERSION, config)
        held = {"split_seed": self.train.split_seed, "fraction": self.train.fraction}
        return _step("tasks", tasks.VERSION, config | {"held": held}, trajectories=self._trajectories())

    def evaluations(self) -> list[Evaluation]:
        """The last `evaluate.epochs` checkpoints, each as a step."""
        return [self.evaluation(epoch) for epoch in self._published()[-self.evaluate.epochs :]]

    def evaluation(self, epoch: int) -> Evaluation:
        """The checkpoint of an epoch as a step."""
        inputs = {"train": self.training(), "tasks": self.tasks()} | self._weights(self._trajectories())
        played = {name: value for name, value in self.evaluate.recipe().items() if name not in ("epochs", "goals")}
        sections = {name: getattr(self, name).recipe() for name in ("env", "objective", "planner", "mpc")}
        encoder, frozen = self._encoder()
        config = sections | encoder | {"evaluate": played, "epoch": epoch}
        return Evaluation(epoch, _step("evaluate", evaluate.VERSION, config, frozen, **inputs))

    def _published(self) -> list[int]:
        """Epochs that left a checkpoint."""
        return self.train.published() if self.predictor.imported is None else [self.predictor.imported]

    def _recorded(self) -> JSON:
        """What recorded trajectories depend on of the env."""
        return {name: value for name, value in self.env.recipe().items() if name != "frameskip"}

    def _trajectories(self) -> Step:
        if isinstance(self.collect, collect.Ingested):
            return self.collect.step()
        return _step("collect", collect.VERSION, {"env": self._recorded(), "collect": self.collect.recipe()})

    def _encoder(self) -> tuple[JSON, str | None]:
        """The encoder's settings and, for frozen weights from outside, what they contain; and where those are."""
        try:
            frozen = self.encoder.frozen(download=not self.without_weights)
        except ConfigError:
            if not self.without_weights:
                raise
            return {"encoder": self.encoder.recipe(), "weights": ABSENT}, None
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
