"""`worldgrid inspect TRIAL`: what is wrong with a trial: diagnoses with sentences, mends and figures."""

from __future__ import annotations

from typing import Annotated

import typer

_COLOURS = {"sound": "green", "watch": "yellow", "ill": "red", "unknown": "dim"}


def inspect(
    trial: Annotated[str, typer.Argument(help="A trial's key (or its beginning), as `worldgrid show` prints it.")],
    diagnoses: Annotated[list[str] | None, typer.Argument(help="Only these: rollout, landscape, ...")] = None,
    *,
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="How many are planned again.")] = 8,
    plan: Annotated[int, typer.Option("--plan", min=0, help="Which plan of each episode; 0 is the first.")] = 0,
    decoder: Annotated[bool, typer.Option("--decoder", help="Make a decoder if there is none: minutes.")] = False,
    epoch: Annotated[int | None, typer.Option("--epoch", help="Which checkpoint; the last one by default.")] = None,
    store: Annotated[str, typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder of the store.")] = "store",
) -> None:
    """Diagnose a finished trial: its predictor, its latent space, its planner, and what its plans come to."""
    import torch
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from worldgrid.decoding import find_decoder, make_decoder, open_decoder
    from worldgrid.diagnoses.subject import open_subject
    from worldgrid.inspection import inspect as examine
    from worldgrid.inspection import write
    from worldgrid.stages.decode import Decode
    from worldgrid.store import Store
    from worldgrid.versus import find_trial

    torch.set_num_threads(1)
    there, console = Store(store), Console()
    found = find_trial(there, trial)
    subject = open_subject(
        there,
        found,
        episodes,
        epoch=epoch,
        plan=plan,
        decoder=lambda latents: (
            open_decoder(there, done)
            if (done := make_decoder(there, latents, Decode()) if decoder else find_decoder(there, latents.key))
            else None
        ),
    )
    with console.status("") as status:
        results = examine(subject, diagnoses or (), lambda name: status.update(f"diagnosis: {name}"))
    table = Table("diagnosis", "", "what was found, and what to try", box=SIMPLE_HEAD, pad_edge=False)
    for one in results:
        verdict = Text(one.finding.verdict, style=_COLOURS[one.finding.verdict])
        table.add_row(Text(one.finding.title), verdict, Text(one.finding.sentence))
        if one.finding.mend:
            table.add_row("", "", Text(one.finding.mend, style="italic"))
    console.print(table)
    console.print(f"page and figures: {write(subject, results)}", soft_wrap=True)
    if subject.decoder is None:
        console.print("frames are drawn with a decoder: --decoder makes one", soft_wrap=True)
