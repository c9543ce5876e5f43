"""What no named grid needs."""

import sys
from pathlib import Path

import pytest

from worldgrid import cli
from worldgrid.garbage import needed, surplus
from worldgrid.step import Step
from worldgrid.store import Store

from . import synthetic

OLD = Step("train", 1, {"train": {}}, {"latents": Step("encode", 1, {"env": {}})})
IMPORT = Step("train", 1, {"predictor": {}})


@pytest.fixture
def made(tmp_path: Path) -> synthetic.MadeUp:
    made = synthetic.make(tmp_path)
    made.finish_all()
    return made


def leave(store: Store, step: Step, size: int) -> None:
    (store.workspace(step.key) / "weights").write_bytes(bytes(size))
    store.commit(step, {}, 1.0, {})


def test_a_grids_steps_are_all_needed(made: synthetic.MadeUp) -> None:
    assert surplus(made.store) == []
    assert {*made.store.every_key()} == needed(made.store)


def test_steps_of_no_grid_are_listed_with_their_size_the_largest_first(made: synthetic.MadeUp) -> None:
    leave(made.store, OLD, 1000)
    (made.store.workspace("encode-0123456789ab") / "half").write_bytes(bytes(10))
    found = [(one.key, one.bytes, one.finished) for one in surplus(made.store)]
    assert found == [(OLD.key, 1000, True), ("encode-0123456789ab", 10, False)]


def test_a_trial_that_left_its_grid_deletes_nothing_but_is_listed(made: synthetic.MadeUp) -> None:
    first, *others = made.trials
    made.ask(trials=others)
    assert [one.key for one in surplus(made.store)] == [first["evaluations"][0]["key"]]
    assert made.store.done(first["evaluations"][0]["key"]) is not None


def test_decoders_stay_as_long_as_the_data_they_draw(made: synthetic.MadeUp) -> None:
    latents = Step("encode", 1, {"env": {}})
    decoder = Step("decode", 1, {}, {"latents": latents})
    leave(made.store, decoder, 10)
    assert [one.key for one in surplus(made.store)] == [decoder.key]
    first = made.trials[0]
    made.ask(trials=[first | {"steps": first["steps"] | {"encode": latents.key}}, *made.trials[1:]])
    assert [one.key for one in surplus(made.store)] == []


def test_what_was_played_at_a_rung_of_a_search_is_needed(made: synthetic.MadeUp) -> None:
    rung = Step("evaluate", 1, {"epoch": 1})
    leave(made.store, rung, 10)
    assert [one.key for one in surplus(made.store)] == [rung.key]
    first, *others = made.trials
    made.ask(trials=[first | {"rungs": [{"epoch": 1, "key": rung.key}]}, *others])
    assert surplus(made.store) == []


def test_imports_stay(made: synthetic.MadeUp) -> None:
    leave(made.store, IMPORT, 10)
    assert surplus(made.store) == []


def gc(monkeypatch: pytest.MonkeyPatch, store: Store, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["worldgrid", "gc", "--store", str(store.root), *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0


def test_nothing_is_removed_without_yes(
    made: synthetic.MadeUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(made.store, OLD, 1000)
    gc(monkeypatch, made.store)
    assert OLD.key in capsys.readouterr().out
    assert made.store.done(OLD.key) is not None


def test_with_yes_what_no_grid_needs_goes_and_the_rest_stays(
    made: synthetic.MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(made.store, OLD, 1000)
    gc(monkeypatch, made.store, "--yes")
    assert not (made.store.root / OLD.key).exists()
    assert {*made.store.every_key()} == needed(made.store)


def test_a_step_that_runs_now_is_kept(
    made: synthetic.MadeUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (made.store.workspace(OLD.key) / "half").write_bytes(bytes(10))
    claim = made.store.claim(OLD.key)
    assert claim is not None
    with claim:
        gc(monkeypatch, made.store, "--yes")
    assert f"kept, because they are running: {OLD.key}" in capsys.readouterr().out
    assert (made.store.root / OLD.key / "half").exists()
