"""`worldgrid report NAME...`: a grid's page again, from what is in the store now; or several beside the study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worldgrid.spec import ConfigError

if TYPE_CHECKING:
    from worldgrid.store import Store


def report(
    names: Annotated[list[str], typer.Argument(help="Names of grids that ran, or a folder of grid files.")],
    against: Annotated[str | None, typer.Option("--against", help="Another grid to compare with.")] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference", help="Published numbers: experiments/paper/reference.csv. Also judges its findings."
        ),
    ] = None,
    store: Annotated[
        str, typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder of the store, or s3://bucket/prefix.")
    ] = "store",
) -> None:
    """Write a grid's report from what is in the store now, or several grids' beside the study."""
    from worldgrid.report import write
    from worldgrid.store import Store

    there = Store(store)
    found = [name for given in names for name in _grids_of(given)]
    if reference is not None:
        _beside(there, Path(names[0]).resolve().name if Path(names[0]).is_dir() else "+".join(found), found, reference)
        return
    if against is not None and len(found) > 1:
        raise ConfigError(f"against: given {against}; one grid, not {len(found)}, fits with it")
    for name in found:
        print(write(there, name, against))  # noqa: T201


def _grids_of(given: str) -> list[str]:
    """The names of the grids in a folder; any other text is a name."""
    from worldgrid.series import grid_names

    return grid_names(Path(given)) if Path(given).is_dir() else [given]


def _beside(there: Store, name: str, names: list[str], reference: Path) -> None:
    """Judge the study's findings by some grids, and print a line for each."""
    from worldgrid.reference import read_reference
    from worldgrid.results import read_grid
    from worldgrid.study import write
    from worldgrid.verdicts import judge

    published, grids = read_reference(reference), [read_grid(there, one) for one in names]
    for one in judge(grids):
        print(f"{one.finding.number:2d}. {one.finding.text}\n    {one.sentence}")  # noqa: T201
    print(write(there, name, grids, published))  # noqa: T201
