"""Where a data set lies."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worldgrid.places import Place, find
from worldgrid.spec import ConfigError

FILES = {"a.txt": b"first", "deep/er/b.txt": b"second", "c.txt": b""}
SHA_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an S3 bucket with the files and one of `abc`, served over HTTP."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": host,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="released")
        for name, content in FILES.items():
            client.put_object(Bucket="released", Key=f"data/{name}", Body=content)
        client.put_object(Bucket="released", Key="abc", Body=b"abc")
        yield "s3://released/data"
    server.stop()


def check(place: Place) -> None:
    assert place.names() == sorted(FILES)
    assert place.names("deep") == ["deep/er/b.txt"]
    assert place.names("nowhere") == []
    assert {name: place.read(name) for name in FILES} == FILES
    with place.open("deep/er/b.txt") as file:
        file.seek(3)
        assert file.read() == b"ond"
    assert place.has("a.txt")
    assert not place.has("deep")
    assert place.digest("z.txt") is None


def test_a_folder_is_read_by_relative_paths(folder: Path) -> None:
    check(find(str(folder)))


def test_an_s3_address_is_read_alike(bucket: str) -> None:
    check(find(bucket))


def test_a_digest_is_the_sha256_of_the_content(tmp_path: Path, bucket: str) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert find(str(tmp_path)).digest("abc") == find("s3://released").digest("abc") == SHA_ABC


def test_a_bucket_that_is_not_there_is_one_line(bucket: str) -> None:
    for address in ("s3://nowhere/data", "s3://released/nothing"):
        with pytest.raises(ConfigError) as refusal:
            find(address)
        assert address in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_a_bucket_that_cannot_be_reached_is_not_taken_for_an_empty_one(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="cannot be reached"):
        find(bucket)


def test_what_is_no_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for address in ("no such folder", "a/b/../c?", str(tmp_path / "file"), str(tmp_path / "missing")):
        with pytest.raises(ConfigError, match="a folder, s3://bucket/prefix or a Hugging Face owner/name fits"):
            find(address)


FIND = """
import sys
from worldgrid.places import find
from worldgrid.spec import ConfigError
try:
    print(find(sys.argv[1]).names())
except ConfigError as error:
    print(error)
"""


def found(address: str, home: Path, **environment: str) -> str:
    """What looking for a place says, in a process that reads these environment variables."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    told = subprocess.run(
        [sys.executable, "-c", FIND, address],
        env=plain | {"HF_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=home,
    )
    return told.stdout.strip()


def test_a_hugging_face_name_without_a_network_is_one_line(tmp_path: Path) -> None:
    said = found("lerobot/pusht", tmp_path, HF_HUB_OFFLINE="1")
    assert "'lerobot/pusht' is no folder here, and Hugging Face gives no such data set" in said
    assert len(said.splitlines()) == 1


def test_a_data_set_in_the_cache_needs_no_network(tmp_path: Path) -> None:
    cached = tmp_path / "hub" / "datasets--lerobot--pusht"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    (cached / "snapshots" / ("0" * 40) / "meta").mkdir(parents=True)
    (cached / "snapshots" / ("0" * 40) / "meta" / "info.json").write_text("{}")
    assert found("lerobot/pusht", tmp_path, HF_HUB_OFFLINE="1") == "['meta/info.json']"
    assert found("lerobot/pusht/meta", tmp_path, HF_HUB_OFFLINE="1") == "['info.json']"
