"""Whether looking and planning again helps: played episodes against a plan of theirs executed blindly."""

from __future__ import annotations

from worldgrid.diagnoses import Curves, Finding, Verdict
from worldgrid.diagnoses.subject import Subject

WORSE, SAME = 1.1, 0.9
"""Distance after replanning over that without, above which it harms, and above which it gains nothing; ours."""
_MENDS: dict[Verdict, str] = {
    "ill": (
        "Later plans undo earlier ones: look at them (--plan N, with planner and gradients), begin them where the last "
        "one ended (mpc.warm_start), or execute more of each (mpc.execute)."
    ),
    "watch": "Replanning gains nothing: a larger mpc.execute saves model calls.",
}


def diagnose(subject: Subject) -> Finding:
    """True distance along the played episodes and along the plan alone, as far as both go; means over episodes."""
    alone = subject.future.distances.mean(axis=0)
    played = subject.played[:, subject.begin :: subject.experiment.env.frameskip]
    steps = min(len(alone), played.shape[1])
    again = subject.measure(played[:, :steps]).mean(axis=0)
    ratio = float(again[-1] / max(alone[steps - 1], 1e-12))
    verdict: Verdict = "ill" if ratio > WORSE else "watch" if ratio > SAME else "sound"
    sentence = (
        f"Planned again every {subject.experiment.mpc.execute} model steps the distance went from {again[0]:.3g} to "
        f"{again[-1]:.3g}; the plan alone would have brought it to {alone[steps - 1]:.3g}."
    )
    along = list(range(steps))
    lines = {"planned again": (along, again.tolist()), "the plan alone": (along, alone[:steps].tolist())}
    picture = Curves("true distance to the goal (mean over episodes)", "model step", lines)
    numbers = {"distance_played": float(again[-1]), "distance_alone": float(alone[steps - 1]), "ratio": ratio}
    return Finding("Replanning", verdict, sentence, _MENDS.get(verdict, ""), numbers, [picture])
