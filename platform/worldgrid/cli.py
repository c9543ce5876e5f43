"""worldgrid show | run | report | ui: the command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from worldgrid.commands.cluster import cluster
from worldgrid.commands.compare import compare
from worldgrid.commands.doctor import doctor
from worldgrid.commands.gc import gc
from worldgrid.commands.ingest import ingest
from worldgrid.commands.list import list_
from worldgrid.commands.logs import logs
from worldgrid.commands.overfit import overfit
from worldgrid.commands.profile import profile
from worldgrid.commands.replay import replay
from worldgrid.commands.results import results
from worldgrid.commands.status import status
from worldgrid.commands.stop import stop
from worldgrid.commands.submit import submit
from worldgrid.spec import ConfigError

app = typer.Typer(
    help="Experiments with JEPA world models: one grid file, one command, numbers with intervals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

File = Annotated[Path, typer.Argument(help="The grid file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Settings by path: train.lr=1e-3, or planner.samples=100,300 for an axis.")
]
StoreAt = Annotated[
    str, typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder of the store, or s3://bucket/prefix.")
]
StoreOf = Annotated[
    str | None,
    typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder or s3://bucket/prefix; the file's by default."),
]

_QUIET = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers use this interpreter, not a second environment
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # the end of a training is noticed within this
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune prints nothing; the board does
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a worker without a GPU does not see one
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def main() -> None:
    """Run the command line; what a user wrote wrongly ends in one line and exit code 2."""
    quiet()
    try:
        app()
    except ConfigError as error:
        print(f"worldgrid: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)


def quiet() -> None:
    """Give Ray and MLflow the settings they read from the environment when they are imported."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


@app.command()
def show(
    file: File,
    overrides: Overrides = None,
    *,
    store: StoreOf = None,
    price: Annotated[bool, typer.Option("--price", help="Also what it costs: FLOPs, hours, bytes, savings.")] = False,
    gpu_hour: Annotated[float, typer.Option("--gpu-hour", help="Price of an hour of a GPU.", min=0)] = 0.0,
    rate: Annotated[
        float | None, typer.Option("--rate", help="FLOPs a second of one worker; measured here by default.", min=1)
    ] = None,
) -> None:
    """Trials, distinct steps, and which of them are in the store already. Starts nothing, fetches no weights."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from worldgrid.commands.price import print_price
    from worldgrid.console import show_grid
    from worldgrid.grid import read_grid
    from worldgrid.price import price as priced
    from worldgrid.store import Store

    grid = read_grid(file, overrides or (), without_weights=True)
    there = Store(store or grid.store)
    show_grid(grid, there)
    if price:
        print_price(priced(grid, there, gpu_hour=gpu_hour, flops_per_second=rate), gpu_hour)


@app.command()
def run(
    file: File,
    overrides: Overrides = None,
    store: StoreOf = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="Most worker-hours, like 200h; above them nothing starts.")
    ] = None,
) -> None:
    """Run a grid; what is in the store already is not run again."""
    from worldgrid import sweep
    from worldgrid.console import Board, print_failures, print_results
    from worldgrid.exchange import check_imports
    from worldgrid.grid import read_grid
    from worldgrid.ingest import check_ingested
    from worldgrid.price import check_budget, price, read_budget
    from worldgrid.report import write
    from worldgrid.served import tracking_uri
    from worldgrid.store import Store
    from worldgrid.tracking import catch_up

    most, grid = budget and read_budget(budget), read_grid(file, overrides or ())
    there = Store(store or grid.store)
    check_imports(grid, there)
    check_ingested(grid, there)
    if most:
        check_budget(price(grid, there), most)
    there.prepare()
    sweep.write_record(there, grid)
    uri, trials, ran = tracking_uri(there), sweep.open_trials(grid, there), None
    try:
        if trials:
            with Board(grid, there, trials) as board:
                ran = sweep.run(grid, trials, there, uri, board.update)
    except KeyboardInterrupt:
        print("stopped; finished steps are kept, the same command goes on from here", file=sys.stderr)  # noqa: T201
        if behind := catch_up(there, grid.name, uri, stopped=True):
            print(behind, file=sys.stderr)  # noqa: T201
        raise typer.Exit(130) from None
    page = write(there, grid.name)
    behind = catch_up(there, grid.name, uri)
    print_results(grid, there, page, ran)
    if behind:
        print(behind, file=sys.stderr)  # noqa: T201
    if ran:
        print_failures(
            grid, ran, shlex.join(["worldgrid", "run", str(file), *grid.overrides, "--store", there.address])
        )
    raise typer.Exit(1 if sweep.open_trials(grid, there) else 0)


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="Name of a grid that ran.")],
    against: Annotated[str | None, typer.Option("--against", help="Another grid to compare with.")] = None,
    store: StoreAt = "store",
) -> None:
    """Write a grid's report from what is in the store now."""
    from worldgrid.report import write
    from worldgrid.store import Store

    print(write(Store(store), name, against))  # noqa: T201


@app.command()
def track(
    name: Annotated[str, typer.Argument(help="Name of a grid that ran.")],
    to: Annotated[str | None, typer.Option("--to", help="MLflow tracking URI; the store's own by default.")] = None,
    store: StoreAt = "store",
) -> None:
    """Write a grid from the store into MLflow: again, or into an empty server."""
    from worldgrid.served import tracking_uri
    from worldgrid.store import Store
    from worldgrid.tracking import Tracker

    there = Store(store)
    Tracker(there, name, to or tracking_uri(there)).sync()


@app.command()
def ui(store: StoreAt = "store", port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 5000) -> None:
    """Serve the MLflow UI of the store on 127.0.0.1, until Ctrl-C."""
    from worldgrid.served import serve
    from worldgrid.store import Store

    serve(Store(store), port)


@app.command("import")
def import_(
    checkpoint: Annotated[Path, typer.Argument(help="An official .pth.tar, or a folder that `export` wrote.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Official model settings: pred_num_heads=16.")] = None,
    *,
    like: Annotated[str | None, typer.Option("--like", help="adaln, feature or sequence: sizes are read off.")] = None,
    settings: Annotated[Path | None, typer.Option("--settings", help="The official model settings, YAML.")] = None,
    statistics: Annotated[
        str, typer.Option("--statistics", help="What standardised its inputs: wall, pointmaze, pusht, metaworld.")
    ] = "identity",
    store: StoreAt = "store",
) -> None:
    """Turn a trained predictor from outside into a finished training, and say how a grid names it."""
    from worldgrid.exchange import put, read
    from worldgrid.store import Store

    trained = read(checkpoint, settings, like, overrides or (), statistics)
    print(f"{put(trained, Store(store)).key} is in the store; in a grid file it is")  # noqa: T201
    if trained.origin.get("encoder"):
        print(f"encoder: {json.dumps(trained.origin['encoder'])}")  # noqa: T201
    print(f"predictor: {json.dumps(trained.section())}")  # noqa: T201


@app.command()
def export(
    step: Annotated[str, typer.Argument(help="A finished training: train-0123456789ab.")],
    folder: Annotated[Path, typer.Argument(help="A new folder: config.json, model.safetensors, README.md.")],
    epoch: Annotated[int | None, typer.Option("--epoch", help="Which checkpoint; the last one by default.")] = None,
    store: StoreAt = "store",
) -> None:
    """Write a trained predictor into a folder as Hugging Face lays them out."""
    from worldgrid.exchange import take
    from worldgrid.hub import write_folder
    from worldgrid.store import Store

    write_folder(take(Store(store), step, epoch), folder)


app.command()(compare)
app.command()(doctor)
app.command()(gc)
app.command()(ingest)
app.command()(overfit)
app.command()(profile)
app.command()(replay)
app.command()(results)
app.command()(status)
app.command()(submit)
app.command("list")(list_)
app.command()(logs)
app.command()(stop)
app.add_typer(cluster, name="cluster")


if __name__ == "__main__":
    main()
