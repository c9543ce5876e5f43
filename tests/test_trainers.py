"""Trainers: worker groups that take one training after another."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from worldgrid.spec import ConfigError
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.trainers import Trainers

STEPS = [Step("train", 1, {"seed": seed}) for seed in range(4)]

Body = Callable[[Trainers, str], Awaitable[None]]


async def diligent(trainers: Trainers, group: str) -> None:
    """A group of two ranks that trains all it is given."""

    async def rank(leads: bool) -> None:
        last = None
        while given := await trainers.take(group, last):
            last = given.number
            await asyncio.sleep(0.001)
            if leads:
                await trainers.end(group, {"seed": given.step.config["seed"]})

    await asyncio.gather(rank(True), rank(False))


def ran(store: Path, body: Body, *, most: int = 1) -> tuple[list[object], list[str]]:
    """What asking for every step came to, and the groups that were started for it."""
    groups: list[str] = []

    async def everything() -> list[object]:
        async def run(group: str) -> None:
            groups.append(group)
            await body(trainers, group)

        trainers = Trainers(Store(store), run, lambda: most)
        asked = [trainers.train(step, lambda: None) for step in STEPS]
        return list(await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), timeout=10))

    return asyncio.run(everything()), groups


@pytest.mark.parametrize("most", [1, 2, 9])
def test_every_training_is_trained_once_by_no_more_groups_than_fit(tmp_path: Path, most: int) -> None:
    results, groups = ran(tmp_path, diligent, most=most)
    assert results == [{"seed": seed} for seed in range(4)]
    assert len(groups) == min(most, len(STEPS))


def test_all_ranks_hear_of_the_same_trainings(tmp_path: Path) -> None:
    heard: list[list[int]] = [[], []]

    async def listening(trainers: Trainers, group: str) -> None:
        together = asyncio.Barrier(2)  # as DDP: no rank ends a training that another has not met

        async def rank(number: int) -> None:
            last = None
            while given := await trainers.take(group, last):
                last = given.number
                heard[number].append(given.step.config["seed"])
                await asyncio.sleep(0.002 * number)
                await together.wait()
                if number == 0:
                    await trainers.end(group, {})

        await asyncio.gather(rank(0), rank(1))

    ran(tmp_path, listening)
    assert heard == [[0, 1, 2, 3]] * 2


def test_a_restarted_group_goes_on_with_the_training_it_held(tmp_path: Path) -> None:
    heard = []

    async def restarted(trainers: Trainers, group: str) -> None:
        for _ in range(2):  # the first time, its ranks die at once
            first = await trainers.take(group, None)
            assert first is not None
            heard.append(first.step.config["seed"])
        await diligent(trainers, group)

    results, groups = ran(tmp_path, restarted)
    assert heard == [0, 0]
    assert results == [{"seed": seed} for seed in range(4)]
    assert len(groups) == 1


def test_a_training_that_was_committed_before_its_group_broke_is_not_trained_again(tmp_path: Path) -> None:
    async def broken_after_the_commit(trainers: Trainers, group: str) -> None:
        first = await trainers.take(group, None)
        assert first is not None
        Store(tmp_path).workspace(first.step.key)
        Store(tmp_path).commit(first.step, {"committed": True}, 0.0, {})
        await diligent(trainers, group)

    results, _ = ran(tmp_path, broken_after_the_commit)
    assert results == [{"committed": True}, {"seed": 1}, {"seed": 2}, {"seed": 3}]


def test_what_a_user_wrote_wrongly_fails_its_training_alone(tmp_path: Path) -> None:
    async def picky(trainers: Trainers, group: str) -> None:
        last = None
        while given := await trainers.take(group, last):
            last, seed = given.number, given.step.config["seed"]
            await trainers.end(group, ConfigError("no") if seed == 1 else {"seed": seed})

    results, groups = ran(tmp_path, picky)
    assert [isinstance(result, ConfigError) for result in results] == [False, True, False, False]
    assert len(groups) == 1


def test_a_group_that_breaks_fails_what_it_held_and_the_rest_goes_on(tmp_path: Path) -> None:
    async def fragile(trainers: Trainers, group: str) -> None:
        first = await trainers.take(group, None)
        assert first is not None
        if first.step.config["seed"] == 0:
            raise RuntimeError("out of memory")
        await diligent(trainers, group)

    results, groups = ran(tmp_path, fragile)
    assert str(results[0]) == "out of memory"
    assert results[1:] == [{"seed": seed} for seed in (1, 2, 3)]
    assert len(groups) == 2


def test_groups_that_cannot_start_fail_all_that_waits(tmp_path: Path) -> None:
    async def stillborn(trainers: Trainers, group: str) -> None:
        raise RuntimeError("no such GPU")

    results, groups = ran(tmp_path, stillborn)
    assert [str(result) for result in results] == ["no such GPU"] * 4
    assert len(groups) == 1


def test_a_training_that_goes_on_is_told_from_what_it_was_by_a_rank_that_lags(tmp_path: Path) -> None:
    """The lagging rank asks for what comes after the first part when the second, of the same step, is given out."""
    heard: list[list[int | None]] = [[], []]

    async def everything() -> None:
        async def run(group: str) -> None:
            together = asyncio.Barrier(2)

            async def rank(number: int) -> None:
                last = None
                while given := await trainers.take(group, last):
                    last = given.number
                    heard[number].append(given.until)
                    await together.wait()
                    await asyncio.sleep(0.02 * number)
                    if number == 0:
                        await trainers.end(group, {})

            await asyncio.gather(rank(0), rank(1))

        trainers = Trainers(Store(tmp_path), run, lambda: 1)
        parts = [trainers.train(STEPS[0], lambda: None, until) for until in (1, 2, None)]
        await asyncio.wait_for(asyncio.gather(*parts), timeout=10)

    asyncio.run(everything())
    assert heard == [[1, 2, None]] * 2
