"""Whether the predictor listens to its actions, number by number. B clips, a numbers of a simulator action."""

from __future__ import annotations

import torch
from torch import Tensor

from worldgrid.diagnoses import Curves, Finding, Verdict
from worldgrid.diagnoses.subject import Subject
from worldgrid.learning import action_sensitivity, teacher_forced

DEAF, WATCH = 1.1, 2.0
"""Factor by which another clip's actions raise the one-step error: below 1.1 the report warns too; ours."""
UNHEARD = 1.01
"""Factor below which one number of the actions changes nothing; ours."""


def diagnose(subject: Subject) -> Finding:
    """The one-step error under another clip's actions, over that under the clip's own; all numbers and one by one."""
    predictor, actions = subject.world_model.predictor, subject.clips.actions
    with torch.no_grad():
        factor = action_sensitivity(predictor, subject.clip, actions)
        each = _each(subject, actions)
    verdict: Verdict = "ill" if factor < DEAF else "watch" if factor < WATCH or min(each) < UNHEARD else "sound"
    unheard = [str(index) for index, one in enumerate(each) if one < UNHEARD]
    sentence = f"Told another clip's actions, the predictor errs {factor:.1f} times as much."
    if unheard:
        sentence += f" Number {', '.join(unheard)} of the {len(each)} in a simulator action changes nothing."
    mend = (
        "Let actions enter every block (predictor.conditioning adaln), train longer, and see in the data whether the "
        "actions move anything between two frames (env.frameskip, collect.policy)."
    )
    places = list(range(len(each)))
    picture = Curves("error under another clip's number, of the error under its own", "number", {"": (places, each)})
    numbers = {"factor": factor} | {f"factor_number_{index}": one for index, one in enumerate(each)}
    return Finding("Action sensitivity", verdict, sentence, mend if verdict != "sound" else "", numbers, [picture])


def _each(subject: Subject, actions: Tensor) -> list[float]:
    """The factor when only one number of every simulator action is another clip's."""
    predictor, clip, width = subject.world_model.predictor, subject.clip, subject.experiment.env.action_dim

    def error(told: Tensor) -> Tensor:
        predicted, target = teacher_forced(predictor, clip, told)
        return (predicted.visual - target.visual).square().mean()

    own, factors = error(actions), []
    for number in range(width):
        told = actions.unflatten(-1, (-1, width)).clone()
        told[..., number] = told[..., number].roll(1, dims=0)
        factors.append(float(error(told.flatten(-2)) / own))
    return factors
