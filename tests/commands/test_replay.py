"""Videos after the fact, from the command line."""

from pathlib import Path

import pytest

from worldgrid.commands.replay import replay
from worldgrid.spec import ConfigError

from ..synthetic import make


@pytest.fixture
def store(tmp_path: Path) -> str:
    made = make(tmp_path / "store")
    made.ask()
    made.play(made.trials[0], 0, 4)
    return str(made.store.root)


@pytest.fixture
def trial(tmp_path: Path) -> str:
    return str(make(tmp_path / "store").trials[0]["key"])


def test_named_episodes_become_videos_named_after_their_outcome(
    store: str, trial: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replay(trial, [2, 0], out=tmp_path / "out", store=store)
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.stem.split("-")[2] for path in printed] == ["0002", "0000"]
    assert all(path.stem.endswith(("success", "failure")) and path.stat().st_size for path in printed)


def test_an_episode_that_was_not_played_is_refused_with_those_that_were(store: str, trial: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="episode 7: was not played; 0 to 3 were"):
        replay(trial, [7], out=tmp_path / "out", store=store)
    assert not (tmp_path / "out").exists()


def test_an_epoch_that_is_not_evaluated_is_refused(store: str, trial: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"epoch 9: trial .* evaluates 2"):
        replay(trial, epoch=9, out=tmp_path / "out", store=store)
