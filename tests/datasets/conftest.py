from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def real_root() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    named = os.environ.get("GRAPHCL_DATA")
    root = Path(named) if named else REPOSITORY / "../shared/data"
    if not (root / "citation").is_dir():
        pytest.skip("needs real data sets: set GRAPHCL_DATA to their root")
    return root


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small valid archive under a fresh root, with arrays changed (or removed by None); gives its path."""

    def write(domain: str = "citation", name: str = "mine", **changes: object) -> Path:
        arrays: dict[str, object] = {
            "edge_index": np.array([[0, 1, 1, 2], [1, 0, 2, 1]], dtype=np.int32),
            "x": np.arange(8, dtype=np.float32).reshape(4, 2),
            "y": np.array([0, 1, 1, 0]),
            **changes,
        }
        path = tmp_path / "root" / domain / name / "data.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **{key: value for key, value in arrays.items() if value is not None})
        return path

    return write


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a text file; gives its path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@dataclass
class Server:
    """What is served: content by path, how many bytes of it to withhold, and which paths drip or do not say their length."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    withheld: dict[str, int] = field(default_factory=dict)
    slow: set[str] = field(default_factory=set)
    chunked: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)

    def put(self, path: str, content: bytes) -> str:
        """Serves ``content``; gives its address."""
        self.files[path] = content
        return f"{self.url}/{path}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on this machine that hands out files, whole or spoilt, and counts who asks."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("GRAPHCL_OFFLINE", raising=False)
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.lstrip("/")
            server.asked[path] += 1
            if path not in server.files:
                self.send_error(404)
                return
            content = server.files[path]
            self.send_response(200)
            if path not in server.chunked:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            content = content[: len(content) - server.withheld.get(path, 0)]
            pieces = 5 if path in server.slow else 1
            step = max(len(content) // pieces, 1)
            for start in range(0, len(content), step):
                self.wfile.write(content[start : start + step])
                self.wfile.flush()
                time.sleep(0.02 if path in server.slow else 0)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
