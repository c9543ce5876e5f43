"""`worldgrid decode` and `worldgrid inspect`, from the command line, on a trial that learned nothing."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.inspected import ready
from worldgrid.cli import app
from worldgrid.spec import ConfigError


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    store, key = ready(tmp_path_factory.mktemp("grid"))
    return store.root, key


def said(root: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--store", str(root)])


def test_a_trial_is_inspected_onto_a_page_that_needs_nothing_else(trial: tuple[Path, str]) -> None:
    root, key = trial
    answer = said(root, "inspect", key, "rollout", "landscape", "--episodes", "2")
    assert answer.exit_code == 0, answer.output
    assert "--decoder makes one" in answer.output
    folder = root / "inspections" / key
    page = (folder / "inspect.html").read_text()
    found = json.loads((folder / "inspect.json").read_text())
    assert list(found["findings"]) == ["rollout", "landscape"]
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    assert all(one["sentence"].split(";")[0][:30] in page for one in found["findings"].values())
    assert {path.name for path in folder.glob("*.png")} == {"rollout-1.png", "landscape-1.png"}


def test_with_a_decoder_frames_are_shown_beside_the_real_ones(trial: tuple[Path, str]) -> None:
    root, key = trial
    made = said(root, "decode", key, "steps=2", "width=48", "depth=1")
    assert made.exit_code == 0, made.output
    assert "dB on held-out frames" in made.output
    again = said(root, "decode", key, "steps=2", "width=48", "depth=1")
    assert again.output == made.output
    answer = said(root, "inspect", key, "promise", "rollout", "--episodes", "1")
    assert answer.exit_code == 0, answer.output
    assert "--decoder" not in answer.output
    folder = root / "inspections" / key
    assert (folder / "promise-2.png").exists()
    assert (folder / "rollout-3.png").exists()
    assert "psnr_1" in json.loads((folder / "inspect.json").read_text())["findings"]["rollout"]["numbers"]


def test_an_unknown_trial_is_one_line_with_what_is_close(trial: tuple[Path, str]) -> None:
    root, key = trial
    wrong = f"{key[:-1]}x"
    for command in ("inspect", "decode"):
        error = said(root, command, wrong).exception
        assert isinstance(error, ConfigError)
        assert f"'{wrong}': no trial; did you mean '{key}'?" in str(error)


def test_an_unknown_diagnosis_is_refused_before_anything_is_planned(trial: tuple[Path, str]) -> None:
    root, key = trial
    error = said(root, "inspect", key, "rolout").exception
    assert isinstance(error, ConfigError)
    assert "unknown diagnosis 'rolout'; did you mean 'rollout'?" in str(error)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["steps"], "override 'steps': settings by name, such as steps=2000, fit"),
        (["stepz=3"], "decode: Decode has no 'stepz'; did you mean 'steps'?"),
        (["steps=many"], "decode.steps: given 'many'; a whole number fits"),
    ],
)
def test_a_wrong_setting_of_a_decoder_is_one_line(trial: tuple[Path, str], words: list[str], line: str) -> None:
    root, key = trial
    error = said(root, "decode", key, *words).exception
    assert isinstance(error, ConfigError)
    assert line in str(error)
