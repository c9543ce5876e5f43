"""What a node of a cluster cannot reach, in one line."""

from pathlib import Path

from worldgrid.nodes import free_port
from worldgrid.survey import look


def test_a_node_that_reaches_everything_says_nothing(tmp_path: Path) -> None:
    assert look(str(tmp_path), "", "") == ""


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in look(str(tmp_path / "file" / "store"), "", "")


def test_a_folder_that_is_another_one_on_each_node_is_told(tmp_path: Path) -> None:
    said = look(str(tmp_path), "", str(tmp_path / ".what-the-driver-wrote"))
    assert "sees another folder; one that all nodes share or s3:// fits" in said


def test_a_tracking_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    said = look(str(tmp_path), f"http://127.0.0.1:{free_port()}", "")
    assert "tracking server http://127.0.0.1" in said
    assert "cannot be reached" in said
    assert "\n" not in said
