"""What the processes of one training share."""

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from worldgrid.ranks import Ranks
from worldgrid.scale import Scale, Train
from worldgrid.spec import ConfigError, parse

CPU = torch.device("cpu")


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_the_ranks_take_a_batch_between_them_in_passes_that_are_short_enough(world: int) -> None:
    starts = np.arange(16)
    passes = [Ranks(rank, world, CPU).share(starts, 3) for rank in range(world)]
    assert sorted(np.concatenate([one for rank in passes for one in rank])) == starts.tolist()
    assert max(len(one) for rank in passes for one in rank) <= 3
    assert min(len(one) for rank in passes for one in rank) >= 1


def test_a_batch_that_fits_is_one_pass_in_its_own_order() -> None:
    (whole,) = Ranks(0, 1, CPU).share(np.array([5, 3, 4]), 3)
    assert whole.tolist() == [5, 3, 4]


def test_alone_there_is_nobody_to_tell() -> None:
    alone = Ranks(0, 1, CPU)
    assert alone.leads
    assert alone.from_first(b"state") == b"state"
    assert alone.total({"loss": torch.tensor(0.5), "loss/visual_1": torch.tensor(0.25)}) == {
        "loss": 0.5,
        "loss/visual_1": 0.25,
    }


def speak(rank: int, folder: Path) -> None:
    """One of two processes; leaves what it heard."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    ranks = Ranks(rank, 2, CPU)
    heard = [ranks.from_first(f"state of {rank}".encode()).decode(), ranks.from_first(b"").decode()]
    total = ranks.total({"loss": torch.tensor(0.25 + rank), "loss/visual_1": torch.tensor(1.0)})
    (folder / str(rank)).write_text(json.dumps([heard, total]))


def test_all_ranks_hear_the_first_one_and_the_sum_of_all(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=speak, args=(rank, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    said = [json.loads((tmp_path / str(rank)).read_text()) for rank in range(2)]
    assert said == [[["state of 0", ""], {"loss": 1.5, "loss/visual_1": 2.0}]] * 2


def test_a_pass_is_no_larger_with_fewer_workers_than_with_all() -> None:
    train = Train(workers=(1, 4))
    assert train.pass_clips(256) == 64
    assert train.pass_clips(10) == 3
    assert Train(workers=(1, 4), clips=16).pass_clips(256) == 16
    assert Train().pass_clips(256) == 256


def test_one_number_of_workers_is_fewest_and_most() -> None:
    assert parse(Scale, {"train": {"workers": 3}}, "scale").train.workers == (3, 3)
    assert parse(Scale, {"train": {"workers": [1, 3]}}, "scale").train.workers == (1, 3)


@pytest.mark.parametrize("given", [0, [0, 2], [3, 2], [1], [1, 2, 3], "many", 1.5, True])
def test_other_numbers_of_workers_are_one_line(given: object) -> None:
    with pytest.raises(ConfigError, match=r"scale\.train\.workers: given .*; a whole number of at least 1, or"):
        parse(Scale, {"train": {"workers": given}}, "scale")
