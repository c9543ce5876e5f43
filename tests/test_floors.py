"""How the house is built: imports go down, families stay apart, each heavy library has its home, files stay small."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "platform" / "worldgrid"

FAMILIES = {"encoders", "envs", "planners", "policies", "predictors", "pretexts", "sources"}
"""Folders of interchangeable members on floor 1; a member is reached through its front door, by its kind."""

FLOORS = {
    0: {"host", "noise", "places", "poses", "ranks", "scale", "spec", "tensors"},
    1: {
        "bucket",
        "checkpoints",
        "clusters",
        "curve",
        "gauges",
        "latents",
        "layers",
        "ledger",
        "objectives",
        "optimisation",
        "packing",
        "representation",
        "resume",
        "step",
        "store",
        "trajectories",
        "vitals",
    }
    | FAMILIES,
    2: {"backlog", "decoder", "flops", "learning", "playing", "progress", "published", "trained", "world_model"},
    3: {"mpc", "training"},
    4: {"stages"},
    5: {
        "axes",
        "experiment",
        "extend",
        "grid",
        "memo",
        "pool",
        "results",
        "rules",
        "seats",
        "search",
        "sizes",
        "trainers",
        "worker",
    },
    6: {
        "answers",
        "decoding",
        "diagnoses",
        "drive",
        "entries",
        "exchange",
        "findings",
        "garbage",
        "halving",
        "hub",
        "lineage",
        "nodes",
        "parcel",
        "ingest",
        "price",
        "profiling",
        "reference",
        "replay",
        "reproduce",
        "series",
        "served",
        "stats",
        "sweep",
        "tables",
        "tracking",
        "workload",
        "verdicts",
        "versus",
        "wording",
    },
    7: {
        "bench",
        "checks",
        "doctor",
        "drawings",
        "extract",
        "figures",
        "imagined",
        "inspection",
        "jobs",
        "panels",
        "probes",
        "report",
        "study",
        "survey",
    },
    8: {"cli", "commands", "console", "contrast"},
}

SAME_FLOOR = {
    "host": {"spec"},
    "places": {"spec"},
    "scale": {"spec"},
    "tensors": {"spec"},
    "checkpoints": {"store"},
    "curve": {"store"},
    "latents": {"store"},
    "resume": {"store"},
    "ledger": {"step", "store"},
    "pretexts": {"representation"},
    "store": {"bucket", "step"},
    "sources": {"trajectories"},
    "trajectories": {"store"},
    "vitals": {"curve"},
    "published": {"world_model"},
    "trained": {"world_model"},
    "axes": {"experiment"},
    "grid": {"axes", "experiment", "rules", "search"},
    "search": {"axes", "experiment"},
    "rules": {"axes"},
    "memo": {"extend", "trainers"},
    "pool": {"seats", "worker"},
    "seats": {"worker"},
    "wording": {"stats"},
    "answers": {"stats", "wording"},
    "entries": {"answers", "reproduce", "stats"},
    "exchange": {"hub"},
    "price": {"workload"},
    "sweep": {"drive", "halving", "tracking"},
    "checks": {"jobs", "survey"},
    "tables": {"answers", "reproduce", "stats", "wording"},
    "tracking": {"answers", "entries", "lineage", "reproduce", "served", "tables"},
    "verdicts": {"answers", "findings"},
    "versus": {"answers"},
    "panels": {"figures"},
    "doctor": {"probes"},
    "drawings": {"figures"},
    "imagined": {"drawings"},
    "inspection": {"drawings"},
    "report": {"imagined", "panels"},
    "study": {"figures"},
    "cli": {"commands"},
    "commands": {"console", "contrast"},
}
"""Who may import whom on the same floor. Front doors of families are open to all of theirs."""

HOMES = {
    "av": {"replay", "sources"},
    "boto3": {"bucket"},
    "botocore": {"bucket"},
    "gymnasium": {"envs"},
    "huggingface_hub": {"encoders", "places"},
    "jinja2": {"inspection", "report", "study"},
    "matplotlib": {"drawings", "figures"},
    "metaworld": {"envs"},
    "mlflow": {"lineage", "probes", "served", "tracking"},
    "h5py": {"sources"},
    "mujoco": {"envs", "probes"},
    "nevergrad": {"planners"},
    "psutil": {"nodes", "vitals"},
    "pyarrow": {"extract", "ledger", "places", "results", "sources", "stages", "trajectories"},
    "pymunk": {"envs"},
    "ray": {"drive", "gauges", "jobs", "memo", "pool", "probes", "seats", "stages", "survey", "sweep"}
    | {"trainers", "worker"},
    "rich": {"cli", "commands", "console", "contrast"},
    "robosuite": {"envs"},
    "scipy": {"stats"},
    "timm": {"encoders"},
    "transformers": {"encoders"},
    "typer": {"cli", "commands"},
    "yaml": {"spec"},
}
"""A heavy library -> the only modules and folders that import it."""

NOT_USED = {
    "cfg",
    "common",
    "engine",
    "handler",
    "helper",
    "helpers",
    "manager",
    "num",
    "util",
    "utils",
    "wm",
    "wrapper",
}
"""Words in no name of ours."""

MODULES = {
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
"""Dotted name -> file."""

FILES = [pytest.param(name, id=str(path.relative_to(SOURCE))) for name, path in MODULES.items()]

every_file = pytest.mark.parametrize("name", FILES)


@cache
def tree(name: str) -> ast.Module:
    """The syntax of a module."""
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


@cache
def imports(name: str) -> frozenset[str]:
    """Dotted names of all that a module imports: on top, in functions, and for types only."""
    found = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}, line {node.lineno}: imports are written out from 'worldgrid'"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in inner}
    return frozenset(found)


def ours(name: str) -> list[str]:
    """The modules of ours that a module imports."""
    return sorted(found for found in imports(name) if found in MODULES)


def room(name: str) -> str:
    """The module or folder directly under `worldgrid` that a module belongs to."""
    return name.split(".")[1] if "." in name else name


def floor(name: str) -> int:
    """The floor of a module; the package itself imports nothing and lies under all."""
    floors = [number for number, rooms in FLOORS.items() if room(name) in rooms]
    return floors[0] if floors else -1


def is_member(name: str) -> bool:
    """Whether a module is a member of a family, not its front door."""
    return room(name) in FAMILIES and name.count(".") > 1


def goes_down(importer: str, imported: str) -> bool:
    """Whether the house allows an import."""
    above, below = room(importer), room(imported)
    if above == below:
        return True
    if floor(importer) == floor(imported):
        return below in FAMILIES or below in SAME_FLOOR.get(above, set())
    return floor(importer) > floor(imported)


def names(name: str) -> Iterator[tuple[str, int]]:
    """Every name that a module defines, with its line."""
    for node in ast.walk(tree(name)):
        match node:
            case ast.ClassDef(name=given) | ast.FunctionDef(name=given) | ast.AsyncFunctionDef(name=given):
                yield given, node.lineno
            case ast.arg(arg=given) | ast.Name(id=given, ctx=ast.Store()) | ast.Attribute(attr=given, ctx=ast.Store()):
                yield given, node.lineno
            case ast.alias(asname=str(given)):
                yield given, node.lineno


def words(name: str) -> set[str]:
    """The words of a name: `num_samples`, `NumSamples` and `numSamples` hold `num`."""
    own = name.replace("dino_wm", "")  # the proper name of a peer
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", own)}


@every_file
def test_every_module_has_a_floor(name: str) -> None:
    assert name == "worldgrid" or floor(name) >= 0, f"give '{room(name)}' a floor in FLOORS"


def test_no_room_lies_on_two_floors() -> None:
    rooms = [room for rooms in FLOORS.values() for room in rooms]
    assert len(rooms) == len(set(rooms))


@every_file
def test_imports_go_down(name: str) -> None:
    assert [found for found in ours(name) if not goes_down(name, found)] == []


def test_no_exception_stands_unused() -> None:
    allowed = {(above, below) for above, rooms in SAME_FLOOR.items() for below in rooms}
    assert allowed - {(room(name), room(found)) for name in MODULES for found in ours(name)} == set()


def test_no_import_comes_back() -> None:
    TopologicalSorter({name: ours(name) for name in MODULES}).prepare()


@every_file
def test_members_of_a_family_are_reached_through_its_front_door(name: str) -> None:
    closed = [found for found in ours(name) if is_member(found)]
    assert [found for found in closed if not (is_member(name) and room(found) == room(name))] == []


@every_file
def test_heavy_libraries_stay_at_home(name: str) -> None:
    libraries = {found.partition(".")[0] for found in imports(name)}
    assert {library for library in libraries & HOMES.keys() if room(name) not in HOMES[library]} == set()


@every_file
def test_a_file_begins_by_saying_what_it_is(name: str) -> None:
    first = tree(name).body[0]
    assert ast.get_docstring(tree(name))
    assert first.lineno == 1


@every_file
def test_a_file_is_short(name: str) -> None:
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) < 300


@every_file
def test_a_function_is_short(name: str) -> None:
    functions = [node for node in ast.walk(tree(name)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [node.name for node in functions if node.end_lineno - node.lineno + 1 >= 60] == []


@every_file
def test_names_are_the_nouns_of_the_house(name: str) -> None:
    given = [*((part, 1) for part in name.split(".")), *names(name)]
    assert [f"line {line}: {given}" for given, line in given if words(given) & NOT_USED] == []


def test_every_family_has_its_members_in_its_folder() -> None:
    folders = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert folders == FAMILIES | {"commands", "diagnoses", "stages"}


def test_the_source_root_is_no_package() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()


def test_the_standard_library_keeps_its_module_platform() -> None:
    command = [sys.executable, "-c", "import platform; print(platform.system())"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.strip() in {"Linux", "Darwin", "Windows"}
