"""`worldgrid decode TRIAL`: a decoder that draws what a trial's latents say, made here and now."""

from __future__ import annotations

from typing import Annotated

import typer


def decode(
    trial: Annotated[str, typer.Argument(help="A trial's key (or its beginning), as `worldgrid show` prints it.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings: steps=2000 width=384.")] = None,
    *,
    store: Annotated[str, typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder of the store.")] = "store",
) -> None:
    """Make the decoder of a trial's encoded data; all trials with the same encoder and data share it."""
    from worldgrid.decoding import make_decoder
    from worldgrid.experiment import Experiment
    from worldgrid.spec import read_override
    from worldgrid.stages.decode import read
    from worldgrid.store import Store
    from worldgrid.versus import find_trial

    section = dict(read_override(text, "settings by name, such as steps=2000,") for text in overrides or ())
    there, settings = Store(store), read(section, "decode")
    latents = Experiment.parse(find_trial(there, trial).settings).latents()
    done = make_decoder(there, latents, settings)
    said = done.metrics
    perceptual = f", perceptual distance {said['perceptual']:.4f}" if "perceptual" in said else ""
    print(  # noqa: T201
        f"{done.key}: {said['psnr']:.1f} dB on held-out frames (their mean frame: {said['psnr_mean_frame']:.1f} dB)"
        f"{perceptual}, in {done.seconds:.0f} s"
    )
