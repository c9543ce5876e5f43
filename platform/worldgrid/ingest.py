"""Ingest: recorded episodes from outside become a finished `collect` step, as a stream, in bounded memory.

The step's key holds the reader's settings and the content of every file it reads. Recordings that cannot be used are
listed in the manifest, each with its reason; what a run had written when it was stopped is kept, the next one goes on.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worldgrid.grid import Grid, Trial
from worldgrid.host import fingerprint
from worldgrid.places import Place
from worldgrid.sources import Contents, CorruptError, Recording, SourceSpec
from worldgrid.spec import JSON, ConfigError
from worldgrid.stages.collect import Ingested
from worldgrid.step import canonical
from worldgrid.store import Store, write_whole
from worldgrid.trajectories import MANIFEST, Trajectories, Trajectory, shard_name, write_manifest, write_shard

SHARD = 1 << 26
"""Bytes of frames after which a shard is written: what is in memory is at most some ten times that."""
JOURNAL = "ingested.json"
SOURCE = "source.json"
"""In the step's folder: what was read, every file with its SHA-256."""
FACTS = {"size": "frames", "action": "actions", "proprio": "proprio", "state": "states"}
"""Fact -> the part of a trajectory whose second axis says it."""

Tick = Callable[[int, int], None]
"""Is told how many of how many are done."""


@dataclass
class Journal:
    """How far an ingestion has come; in the step's folder, written after every shard."""

    recordings: int = 0
    """Read so far, usable or not."""
    shards: int = 0
    skipped: list[JSON] = field(default_factory=list)
    facts: JSON | None = None
    """Dimensions of the first usable recording, and its frames' size; the others' must be the same."""

    @classmethod
    def read(cls, folder: Path) -> Journal:
        """What an interrupted run left, or the beginning."""
        path = folder / JOURNAL
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else cls()

    def write(self, folder: Path, held: Sequence[Trajectory], recordings: int) -> None:
        """Write what is held as the next shard, if anything is, and that so many recordings were read."""
        if held:
            write_shard(folder / shard_name(self.shards), held)
            self.shards += 1
        self.recordings = recordings
        write_whole(folder / JOURNAL, json.dumps(self.__dict__).encode())

    def fit(self, trajectory: Trajectory) -> None:
        """Raises CorruptError where a recording has other dimensions than the first one."""
        widths = {name: getattr(trajectory, field).shape[1] for name, field in FACTS.items()}
        self.facts = self.facts or widths
        if widths != self.facts:
            raise CorruptError(f"dimensions {widths}; those of the first recording are {self.facts}")


def name(reader: SourceSpec, place: Place, contents: Contents, tick: Tick) -> tuple[Ingested, JSON]:
    """The section that a grid names the data by, and the manifest of the source: every file with its SHA-256.

    A file that is not there is null: its recording will be skipped, and with the file it is another data set.
    """
    files = dict.fromkeys([*contents.shared, *(file for one in contents.recordings for file in one.files)])
    manifest: JSON = {}
    for index, file in enumerate(files):
        manifest[file] = place.digest(file)
        tick(index + 1, len(files))
    digest = hashlib.sha256(canonical(manifest).encode()).hexdigest()
    return Ingested(reader=reader.recipe(), source=digest), manifest


def ingest(section: Ingested, manifest: JSON, contents: Contents, store: Store, tick: Tick) -> JSON:
    """Leave the step in the store unless it is there; what the manifest of the trajectories says.

    Raises ConfigError when nothing can be used, or while another process ingests the same.
    """
    step = section.step()
    if store.done(step.key) is None:
        store.prepare()
        lock = store.claim(step.key)
        if lock is None:
            raise ConfigError(f"{step.key}: another process is ingesting it")
        with lock:
            began, folder = time.monotonic(), store.workspace(step.key)
            write_whole(folder / SOURCE, json.dumps(manifest, indent=1).encode())
            counts = _write(folder, contents.recordings, tick)["counts"]
            store.commit(step, counts, time.monotonic() - began, fingerprint())
    return Trajectories(store.folder(step.key, MANIFEST)).manifest


def _write(folder: Path, recordings: Sequence[Recording], tick: Tick) -> JSON:
    """Read what an interrupted run has not, shard by shard, then describe it all."""
    journal, held = Journal.read(folder), list[Trajectory]()
    for index in range(journal.recordings, len(recordings)):
        tick(index, len(recordings))
        try:
            trajectory = recordings[index].load(index)
            journal.fit(trajectory)
            held.append(trajectory)
        except ConfigError:
            raise  # the source cannot be reached: nothing is wrong with the recording
        except Exception as error:  # a damaged recording makes its reader raise whatever it likes
            why = str(error) if isinstance(error, CorruptError) else f"{type(error).__name__}: {error}"
            journal.skipped.append({"name": recordings[index].name, "why": why})
        if sum(one.frames.nbytes for one in held) >= SHARD:
            journal.write(folder, held, index + 1)
            held = []
    journal.write(folder, held, len(recordings))
    tick(len(recordings), len(recordings))
    if journal.facts is None:
        first = f"; the first one: {journal.skipped[0]['name']}: {journal.skipped[0]['why']}" if journal.skipped else ""
        raise ConfigError(f"source: none of {len(recordings)} recordings can be used{first}")
    size, dims = journal.facts["size"], {name: journal.facts[name] for name in ("action", "proprio", "state")}
    manifest = write_manifest(folder, shards=journal.shards, keep=1, size=size, dims=dims, skipped=journal.skipped)
    (folder / JOURNAL).unlink()
    return manifest


def check_ingested(grid: Grid, store: Store) -> None:
    """Raises ConfigError before anything runs where a grid names data that the store has not, or that do not fit it."""
    for trial in grid.trials:
        collect = trial.experiment.collect
        if isinstance(collect, Ingested):
            key = collect.step().key
            if store.done(key) is None:
                raise ConfigError(
                    f"collect: given the ingested {key}, which is not in store {store.root}; `worldgrid ingest` "
                    "puts it there and prints the section that fits"
                )
            _check_fit(trial, key, Trajectories(store.folder(key, MANIFEST)))


def _check_fit(trial: Trial, key: str, source: Trajectories) -> None:
    """The data against the trial's env and the clips that its training needs."""
    experiment = trial.experiment
    env = experiment.env
    wanted = {"action": env.action_dim, "proprio": env.proprio_dim, "state": env.state_dim, "size": env.size}
    given = source.manifest["dims"] | {"size": source.manifest["size"]}
    for fact, number in wanted.items():
        if given[fact] != number:
            raise ConfigError(f"collect: {key} has {fact} {given[fact]}; env '{env.kind}' has {fact} {number}")
    frames, longest = experiment.train.clip_frames(experiment.predictor.context), int(source.lengths.max())
    if experiment.predictor.imported is None and (frames - 1) * env.frameskip >= longest:
        raise ConfigError(
            f"collect: {key} has trajectories of at most {longest} frames; training clips have {frames}, "
            f"{env.frameskip} apart: a smaller train.frames, predictor.context or env.frameskip fits"
        )
