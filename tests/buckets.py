"""An S3 server of its own process, reached through a door that a test can make fail, shut and open again."""

from __future__ import annotations

import http.client
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

NAME = "studies"
"""The one bucket there is."""
HANG_SECONDS = 70.0
"""Longer than a request waits for its answer."""


class Door:
    """An HTTP proxy on 127.0.0.1: every request goes on to the server, unless a test says otherwise."""

    def __init__(self, server: int) -> None:
        self._server = server
        self.port = free_port()
        self.failing = 0
        """How many of the next requests are answered by an error of the server."""
        self.dropping = 0
        """How many of the next connections are closed without an answer."""
        self.cutting = 0
        """How many of the next answers to GET break off in their middle."""
        self.hanging = 0
        """How many of the next requests are answered later than anybody waits."""
        self.strip = ""
        """A header that does not go on."""
        self.requests: list[str] = []
        self.met: Counter[str] = Counter()
        """How often each of these was done to a request."""
        self.open()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        door, self.is_open = self, True

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                door.requests.append(f"{self.command} {self.path}")
                if door.take("failing"):
                    self.reply(503, {}, b"")
                    return
                if door.take("hanging"):
                    time.sleep(HANG_SECONDS)
                    door.dropping += 1
                if not door.is_open or door.take("dropping"):
                    self.close_connection = True
                    return
                headers = {name: value for name, value in self.headers.items() if name.lower() != door.strip.lower()}
                there = http.client.HTTPConnection("127.0.0.1", door._server, timeout=30)
                there.request(self.command, self.path, body, headers)
                answer = there.getresponse()
                content = answer.read()
                self.reply(answer.status, dict(answer.getheaders()), content)
                there.close()

            def reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
                self.send_response(status)
                dropped = {"content-length", "connection", "transfer-encoding", "date", "server"}
                for name, value in headers.items():
                    if name.lower() not in dropped:
                        self.send_header(name, value)
                length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
                self.send_header("Content-Length", length)
                self.end_headers()
                if self.command == "GET" and len(content) > 1 and door.take("cutting"):
                    self.close_connection, content = True, content[: len(content) // 2]
                self.wfile.write(b"" if self.command == "HEAD" else content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

            def log_message(self, *words: object) -> None:
                """Say nothing."""

        http.server.ThreadingHTTPServer.allow_reuse_address = True
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def take(self, what: str) -> bool:
        """Whether one of the next requests is to be treated so; then one less."""
        left = getattr(self, what)
        setattr(self, what, max(left - 1, 0))
        self.met[what] += left > 0
        return bool(left > 0)

    def shut(self) -> None:
        self.is_open = False  # for connections that are kept
        self._http.shutdown()
        self._http.server_close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served() -> Iterator[Door]:
    """A server with an empty bucket, and the credentials in the environment that it takes."""
    import boto3

    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    door = Door(port)
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    before = {name: os.environ.get(name) for name in [*keys, "AWS_ENDPOINT_URL"]}
    os.environ.update(keys, AWS_ENDPOINT_URL=door.address)
    try:
        deadline = time.monotonic() + 120
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline, "the S3 server did not start"
            time.sleep(0.1)
        boto3.client("s3").create_bucket(Bucket=NAME)
        yield door
    finally:
        door.shut()
        server.kill()
        server.wait()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
