"""The sections of a trial, what may not go together, and the steps they make."""

import pytest

from worldgrid.experiment import SECTIONS, Experiment
from worldgrid.spec import ConfigError

SETTINGS: dict = {
    "env": {"kind": "point"},
    "encoder": {"kind": "state"},
    "predictor": {"kind": "transformer", "width": 16, "depth": 1, "heads": 2, "context": 2, "proprio": "none"},
}


def made(**changes: dict) -> Experiment:
    return Experiment.parse(SETTINGS | changes)


def keys(experiment: Experiment) -> dict[str, str]:
    return {step.stage: step.key for step in experiment.evaluations()[-1].step.walk()}


def moved(**changes: dict) -> set[str]:
    """Stages whose key changes with these settings."""
    before, after = keys(made()), keys(made(**changes))
    return {stage for stage in after if before.get(stage) != after[stage]}


def test_every_section_is_recorded_with_its_defaults() -> None:
    recorded = made().settings()
    assert set(recorded) == set(SECTIONS)
    assert recorded["mpc"]["horizon"] == 6


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({"planner": {"kind": "gd"}}, {"evaluate"}),
        ({"mpc": {"execute": 2}}, {"evaluate"}),
        ({"evaluate": {"seed": 9}}, {"tasks", "evaluate"}),
        ({"mpc": {"steps": 20}}, {"tasks", "evaluate"}),
        ({"evaluate": {"goals": "dataset"}}, {"tasks", "evaluate"}),
        ({"train": {"lr": 1e-3}}, {"train", "evaluate"}),
        ({"env": {"kind": "point", "frameskip": 2}}, {"train", "evaluate"}),
        ({"encode": {"dtype": "float32"}}, {"encode", "train", "evaluate"}),
        ({"collect": {"seed": 5}}, {"collect", "encode", "train", "evaluate"}),
    ],
)
def test_a_setting_moves_the_key_of_its_stage_and_of_those_after_it(changes: dict, stages: set[str]) -> None:
    assert moved(**changes) == stages


def test_a_default_spelt_out_is_the_same_step() -> None:
    assert moved(mpc={"horizon": 6}, planner={"kind": "cem", "samples": 300}) == set()


def test_an_integer_where_a_number_belongs_is_the_same_step() -> None:
    assert keys(made(train={"lr": 1})) == keys(made(train={"lr": 1.0}))


def test_only_encoders_that_learn_are_pretrained() -> None:
    learned = made(env={"kind": "wall"}, encoder={"kind": "contrastive"}, collect={"keep": 5})
    assert "pretrain" in keys(learned)
    assert "pretrain" not in keys(made())


def test_the_last_checkpoints_are_evaluated() -> None:
    experiment = made(train={"epochs": 10, "publish": 4}, evaluate={"epochs": 2})
    assert [evaluation.epoch for evaluation in experiment.evaluations()] == [8, 10]


def test_evaluating_more_checkpoints_keeps_the_keys_of_those_there_were() -> None:
    few = made(evaluate={"epochs": 1}).evaluations()
    more = made(evaluate={"epochs": 3}).evaluations()
    assert few[0].step.key == more[-1].step.key


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mpc": {"context": 3}}, "mpc.context: given 3; at most predictor.context (2) fits"),
        (
            {"predictor": SETTINGS["predictor"] | {"window": "streaming"}, "mpc": {"context": 1}},
            "mpc.context: given 1; predictor.context (2) fits: a streaming predictor",
        ),
        ({"mpc": {"horizon": 2, "execute": 3}}, "execute"),
        ({"objective": {"kind": "goal_distance", "proprio": 0.1}}, "objective.proprio: given 0.1; 0 fits"),
        ({"collect": {"keep": 3}}, "collect.keep: given 3; a divisor of env.frameskip (5) fits"),
        ({"collect": {"steps": 9}}, "collect.steps: given 9; at least 10 fits"),
        ({"evaluate": {"epochs": 60}}, "evaluate.epochs: given 60; at most 50 fits"),
        ({"collect": {"policy": {"kind": "expert"}}}, "env 'point' has no scripted expert"),
        ({"collect": {"policy": {"kind": "drfit"}}}, "unknown policy 'drfit'; did you mean 'drift'?"),
    ],
)
def test_what_cannot_go_together_is_refused_in_one_line(changes: dict, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        made(**changes)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
