import http.server
import threading

import ase.io
import numpy as np
import pytest

from benchmarks.datasets import registry, sources


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KAN_HEADS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny(tmp_path, monkeypatch, cache, frame):
    """A registered data set of 30 frames under its own KAN_HEADS_DATA."""
    folder = tmp_path / "store"
    (folder / "tiny").mkdir(parents=True)
    ase.io.write(folder / "tiny/tiny.extxyz", [frame(seed=i) for i in range(30)], format="extxyz")
    monkeypatch.setenv("KAN_HEADS_DATA", str(folder))
    dataset = registry.Dataset(
        name="tiny",
        what="a test",
        files=(registry.DataFile("tiny/tiny.extxyz"),),
        frames=30,
        pools=(20, 6, 4),
        labels=("energy", "forces"),
        paper_data=False,
        relation="none",
        licence="none",
        citation="nobody",
    )
    monkeypatch.setitem(registry.DATASETS, "tiny", dataset)
    monkeypatch.setitem(sources.READERS, "tiny", lambda paths, work: sources._from_files(paths, [30]))
    return folder / "tiny/tiny.extxyz"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        body = server.body
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        if server.status is not None:
            self.send_error(server.status)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.honour_range else 0
        if asked and server.honour_range and start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        self.wfile.write(body[start : server.stop_at])
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    """A local origin; ``stop_at`` cuts the answer short, ``ranges`` records what was asked for."""
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    s.body = np.random.RandomState(0).bytes(300_000)
    s.ranges, s.stop_at, s.status, s.honour_range = [], None, None, True
    s.url = f"http://127.0.0.1:{s.server_address[1]}/file.bin"
    thread = threading.Thread(target=s.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield s
    s.shutdown()
    s.server_close()
    thread.join()
