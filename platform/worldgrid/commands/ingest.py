"""worldgrid ingest: recorded episodes from outside become data of a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from worldgrid.spec import read_override

if TYPE_CHECKING:
    from rich.progress import Progress

LISTED = 20
"""Skipped recordings that are printed; the manifest has all."""


def ingest(
    source: Annotated[str, typer.Argument(help="A folder, s3://bucket/prefix, or a Hugging Face owner/name[/folder].")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings of the reader: size=64 episodes=100.")] = None,
    *,
    kind: Annotated[
        str, typer.Option("--kind", help="pusht, pointmaze, wall, metaworld, robocasa, droid, franka or lerobot.")
    ],
    skip: Annotated[float, typer.Option("--skip", min=0, max=1, help="Most recordings that may be unusable.")] = 0.05,
    store: Annotated[str, typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder of the store.")] = "store",
) -> None:
    """Turn a released data set into collected episodes, and say how a grid names them.

    Recordings that cannot be used are listed and skipped; more than the share that --skip allows is exit code 1.
    """
    from worldgrid.ingest import ingest, name
    from worldgrid.places import find
    from worldgrid.sources import SOURCES
    from worldgrid.store import Store

    fits = "a setting of the reader and its value (size=64)"
    settings = dict(read_override(override, fits) for override in overrides or ())
    reader = SOURCES.parse({"kind": kind} | settings, kind)
    place = find(source)
    contents = reader.contents(place)
    with _bar() as bar:
        section, manifest = name(reader, place, contents, _told(bar, "naming files"))
        made = ingest(section, manifest, contents, Store(store), _told(bar, "reading recordings"))
    counts, skipped = made["counts"], made["skipped"]
    for one in skipped[:LISTED]:
        typer.echo(f"skipped {one['name']}: {one['why']}")
    if len(skipped) > LISTED:
        typer.echo(f"and {len(skipped) - LISTED} more, all in manifest.json")
    typer.echo(f"{section.step().key} is in the store: {counts['episodes']} episodes, {counts['frames']} frames")
    typer.echo(f"in a grid file it is\ncollect: {json.dumps(section.recipe())}")
    if len(skipped) > skip * len(contents.recordings):
        typer.echo(f"{len(skipped)} of {len(contents.recordings)} recordings skipped, more than --skip {skip:g} allows")
        raise typer.Exit(1)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True))


def _told(bar: Progress, description: str) -> Callable[[int, int], None]:
    task = bar.add_task(description, total=None)
    return lambda done, of: bar.update(task, completed=done, total=of)
