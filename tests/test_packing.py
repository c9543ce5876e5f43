"""Blocks of sequences: which, how large, and what happens when memory runs out."""

import warnings

import pytest
import torch
from torch import Tensor

from worldgrid.packing import Packing, blocks

CPU = torch.device("cpu")


def sizes(shape: tuple[int, int], rows: int) -> list[tuple[int, int]]:
    return [(some.stop - some.start, part.stop - part.start) for some, parts in blocks(shape, rows) for part in parts]


@pytest.mark.parametrize(
    ("shape", "rows", "expected"),
    [
        ((2, 3), 100, [(2, 3)]),
        ((4, 3), 7, [(2, 3), (2, 3)]),
        ((5, 3), 6, [(2, 3), (2, 3), (1, 3)]),
        ((2, 10), 4, [(1, 4), (1, 4), (1, 2)] * 2),
        ((3, 1), 2, [(2, 1), (1, 1)]),
        ((1, 300), 16, [(1, 16)] * 18 + [(1, 12)]),
    ],
)
def test_blocks_hold_whole_episodes_or_candidates_of_one(
    shape: tuple[int, int], rows: int, expected: list[tuple[int, int]]
) -> None:
    assert sizes(shape, rows) == expected


def numbers(shape: tuple[int, int]) -> Tensor:
    return torch.arange(shape[0] * shape[1]).view(shape)


@pytest.mark.parametrize("each", [0, 2**20, 2**18, 2**17, 1])
def test_every_sequence_is_done_once_and_in_its_place(each: int) -> None:
    shape = (3, 5)
    done, doubled = Packing(1).run(
        lambda some, part: (numbers(shape)[some, part], 2 * numbers(shape)[some, part]),
        shape,
        each,
        CPU,
        history=False,
    )
    assert torch.equal(done, numbers(shape))
    assert torch.equal(doubled, 2 * numbers(shape))


def test_memory_that_runs_out_halves_the_blocks_for_good_and_is_said_once() -> None:
    asked: list[int] = []

    def work(some: slice, part: slice) -> tuple[Tensor]:
        chosen = numbers((4, 2))[some, part]
        asked.append(chosen.numel())
        if chosen.numel() > 2:
            raise torch.OutOfMemoryError("full")
        return (chosen,)

    packing = Packing(None)
    with pytest.warns(RuntimeWarning, match=r"with 8 imagined sequences at once; .* \(mpc.memory\)") as said:
        (done,) = packing.run(work, (4, 2), 0, CPU, history=False)
    assert torch.equal(done, numbers((4, 2)))
    assert len(said) == 1
    assert asked == [8, 4, 2, 2, 2, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        packing.run(work, (4, 2), 0, CPU, history=False)
    assert asked[6:] == [2, 2, 2, 2]


def test_one_sequence_that_does_not_fit_is_an_error() -> None:
    def work(some: slice, part: slice) -> tuple[Tensor]:
        raise torch.OutOfMemoryError("full")

    with pytest.warns(RuntimeWarning), pytest.raises(torch.OutOfMemoryError):
        Packing(None).run(work, (1, 2), 0, CPU, history=False)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def work(some: slice, part: slice) -> tuple[Tensor]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="multiplied"):
        Packing(None).run(work, (4, 4), 0, CPU, history=False)
