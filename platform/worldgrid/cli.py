"""worldgrid show | run | report | ui: the command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from worldgrid.commands.cluster import cluster
from worldgrid.commands.compare import compare
from worldgrid.commands.decode import decode
from worldgrid.commands.doctor import doctor
from worldgrid.commands.gc import gc
from worldgrid.commands.ingest import ingest
from worldgrid.commands.inspect import inspect
from worldgrid.commands.list import list_
from worldgrid.commands.logs import logs
from worldgrid.commands.overfit import overfit
from worldgrid.commands.profile import profile
from worldgrid.commands.replay import replay
from worldgrid.commands.report import report
from worldgrid.commands.results import results
from worldgrid.commands.run import run
from worldgrid.commands.show import show
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

StoreAt = Annotated[
    str, typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder of the store, or s3://bucket/prefix.")
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
def track(
    name: Annotated[str, typer.Argument(help="Name of a grid that ran.")],
    to: Annotated[str | None, typer.Option("--to", help="MLflow tracking URI; the store's own by default.")] = None,
    store: StoreAt = "store",
) -> None:
    """Write a grid from the store into MLflow: again, or into an empty server."""
    from worldgrid.served import check_tracking, tracking_uri
    from worldgrid.store import Store
    from worldgrid.tracking import Tracker

    there = Store(store)
    uri = to or tracking_uri(there)
    if away := check_tracking(uri):
        raise ConfigError(away)
    Tracker(there, name, uri).sync()


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


app.command()(show)
app.command()(run)
app.command()(report)
app.command()(compare)
app.command()(decode)
app.command()(doctor)
app.command()(gc)
app.command()(ingest)
app.command()(inspect)
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
