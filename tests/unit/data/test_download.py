"""Downloads from servers on this machine that behave in all the ways that servers do."""

import hashlib
import os
import socket
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from visus.data import download
from visus.data.download import cache_folder, fetch
from visus.errors import DownloadError

BODY = bytes(range(256)) * 1000
DIGEST = f"sha256:{hashlib.sha256(BODY).hexdigest()}"


class Server:
    """A server whose answers are played from a list of functions, the last one again and again."""

    def __init__(self, *answers):
        self.asked: list[str | None] = []  # the Range of each request
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                answer = answers[min(len(outer.asked), len(answers) - 1)]
                outer.asked.append(self.headers["Range"])
                self.close_connection = True
                answer(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/file.bin"


@contextmanager
def serving(*answers):
    server = Server(*answers)
    try:
        yield server
    finally:
        server.server.shutdown()
        server.server.server_close()


def head(handler, status, **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()


def whole(handler, body=BODY):
    """All of it, whatever was asked."""
    head(handler, 200, Content_Length=len(body))
    handler.wfile.write(body)


def ranged(handler):
    """What was asked."""
    asked = handler.headers["Range"]
    if asked is None:
        return whole(handler)
    start = int(asked.removeprefix("bytes=").removesuffix("-"))
    head(handler, 206, Content_Range=f"bytes {start}-{len(BODY) - 1}/{len(BODY)}", Content_Length=len(BODY) - start)
    handler.wfile.write(BODY[start:])
    return None


def broken(handler):
    """100,000 bytes, and then the line breaks."""
    head(handler, 200, Content_Length=len(BODY))
    handler.wfile.write(BODY[:100_000])


def silent(handler):
    head(handler, 200, Content_Length=len(BODY))
    handler.wfile.write(BODY[:1000])
    time.sleep(1.5)


def fails(status):
    return lambda handler: head(handler, status, Content_Length=0)


def get(*urls, folder: Path, digest=DIGEST, **more):
    return fetch(urls, "file.bin", digest, len(BODY), folder, pause=0.01, **more)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost,visus.invalid")


def test_plain(tmp_path):
    seen = []
    with serving(whole) as server:
        path = get(server.url, folder=tmp_path / "a" / "b", progress=lambda *each: seen.append(each))
        assert path == tmp_path / "a" / "b" / "file.bin"
        assert path.read_bytes() == BODY
        assert seen[-1] == (len(BODY), len(BODY))
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        get(server.url, folder=tmp_path / "a" / "b")
        assert server.asked == [None]  # once
    assert not (path.parent / "file.bin.part").exists()


def test_md5(tmp_path):
    with serving(whole) as server:
        digest = f"md5:{hashlib.md5(BODY).hexdigest()}"
        assert get(server.url, folder=tmp_path, digest=digest).read_bytes() == BODY


def test_goes_on_after_a_broken_connection(tmp_path):
    with serving(broken, ranged) as server:
        assert get(server.url, folder=tmp_path).read_bytes() == BODY
        assert server.asked == [None, "bytes=100000-"]


def test_goes_on_with_what_an_earlier_process_fetched(tmp_path):
    (tmp_path / "file.bin.part").write_bytes(BODY[:777])
    with serving(ranged) as server:
        assert get(server.url, folder=tmp_path).read_bytes() == BODY
        assert server.asked == ["bytes=777-"]


@pytest.mark.parametrize("found", [b"?" * 777, b"?" * len(BODY), b"?" * (len(BODY) + 1)])
def test_starts_anew_where_the_part_is_of_another_file(tmp_path, found):
    (tmp_path / "file.bin.part").write_bytes(found)
    with serving(ranged) as server:
        assert get(server.url, folder=tmp_path).read_bytes() == BODY


def test_server_that_ignores_ranges(tmp_path):
    with serving(broken, whole) as server:
        assert get(server.url, folder=tmp_path).read_bytes() == BODY
        assert server.asked == [None, "bytes=100000-"]


def test_server_that_gives_another_range(tmp_path):
    def other(handler):
        head(handler, 206, Content_Range=f"bytes 0-9/{len(BODY)}", Content_Length=10)
        handler.wfile.write(BODY[:10])

    with serving(broken, other, whole) as server:
        assert get(server.url, folder=tmp_path).read_bytes() == BODY
        assert server.asked == [None, "bytes=100000-", None]


def test_file_that_is_there_but_differs_is_replaced(tmp_path):
    (tmp_path / "file.bin").write_bytes(b"?" * len(BODY))
    with serving(whole) as server:
        assert get(server.url, folder=tmp_path).read_bytes() == BODY


def test_wrong_checksum(tmp_path):
    with serving(lambda handler: whole(handler, BODY[::-1])) as server:
        with pytest.raises(DownloadError, match="checksum isn't sha256:"):
            get(server.url, folder=tmp_path)
        assert len(server.asked) == 1
    assert not (tmp_path / "file.bin").exists()
    assert not (tmp_path / "file.bin.part").exists()


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"!"])
@pytest.mark.parametrize("announced", [True, False])
def test_wrong_length(tmp_path, body, announced):
    def answer(handler):
        head(handler, 200, **({"Content_Length": len(body)} if announced else {}))
        handler.wfile.write(body)

    with serving(answer) as server, pytest.raises(DownloadError, match="bytes"):
        get(server.url, folder=tmp_path)
    assert not (tmp_path / "file.bin").exists()


def test_next_mirror_after_404(tmp_path):
    with serving(fails(404)) as first, serving(whole) as second:
        assert get(first.url, second.url, folder=tmp_path).read_bytes() == BODY
        assert (len(first.asked), len(second.asked)) == (1, 1)


def test_tries_three_times_after_5xx(tmp_path):
    with serving(fails(503), fails(500), whole) as server:
        assert get(server.url, folder=tmp_path).read_bytes() == BODY
        assert len(server.asked) == 3
    with serving(fails(503)) as server:
        with pytest.raises(DownloadError, match=r"503 Service Unavailable \(attempt 3 of 3\)"):
            get(server.url, folder=tmp_path / "other")
        assert len(server.asked) == 3


def test_error_names_file_place_and_each_cause(tmp_path):
    with serving(fails(404)) as first, serving(fails(403)) as second:
        with pytest.raises(DownloadError) as caught:
            get(first.url, second.url, "ftp://127.0.0.1/file.bin", folder=tmp_path)
        said = str(caught.value)
        for part in ("file.bin", str(tmp_path / "file.bin"), first.url, second.url, "404", "403", "isn't an http"):
            assert part in said


def test_stalled_server(tmp_path):
    with serving(silent) as server:
        begin = time.monotonic()
        with pytest.raises(DownloadError, match="fell silent"):
            get(server.url, folder=tmp_path, timeout=0.2)
        assert time.monotonic() - begin < 4
    assert (tmp_path / "file.bin.part").stat().st_size == 1000


def test_no_network(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file.bin"
    begin = time.monotonic()
    with pytest.raises(DownloadError, match="refused"):
        fetch([url, url + "?2", "http://visus.invalid/"], "file.bin", DIGEST, len(BODY), tmp_path)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/file.bin", "data:,hello"])
def test_redirection_elsewhere_is_refused(tmp_path, target):
    with serving(lambda handler: head(handler, 302, Location=target, Content_Length=0)) as server:
        with pytest.raises(DownloadError, match="redirect"):
            get(server.url, folder=tmp_path)
        assert len(server.asked) == 1


def test_redirection_within_http(tmp_path):
    with (
        serving(whole) as last,
        serving(lambda handler: head(handler, 302, Location=last.url, Content_Length=0)) as first,
    ):
        assert get(first.url, folder=tmp_path).read_bytes() == BODY


def test_two_at_once_fetch_it_once(tmp_path):
    def slow(handler):
        time.sleep(0.4)
        whole(handler)

    with serving(slow) as server:
        threads = [threading.Thread(target=get, args=(server.url,), kwargs={"folder": tmp_path}) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.asked == [None]
    assert (tmp_path / "file.bin").read_bytes() == BODY


def test_another_process_that_does_not_get_on(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    monkeypatch.setattr(download, "_lock", lambda handle: False)
    with serving(whole) as server:
        with pytest.raises(DownloadError, match="another process"):
            get(server.url, folder=tmp_path)
        assert not server.asked


def test_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").touch()
    with serving(whole) as server:
        with pytest.raises(DownloadError, match=r"can't be kept in(.|\n)*set VISUS_CACHE"):
            get(server.url, folder=tmp_path / "file" / "cache")
        assert not server.asked


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may write anywhere")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with serving(whole) as server, pytest.raises(DownloadError, match="set VISUS_CACHE"):
        get(server.url, folder=tmp_path / "cache")


def test_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("VISUS_CACHE")
    monkeypatch.setenv("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "visus"
    monkeypatch.setenv("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "visus"
    assert not (tmp_path / "home").exists()


def test_cache_folder_without_a_home(monkeypatch):
    def homeless():
        raise RuntimeError("no home")

    monkeypatch.delenv("VISUS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(DownloadError, match="set VISUS_CACHE"):
        cache_folder()


@pytest.mark.parametrize("digest", [DIGEST, DIGEST[:15], ""], ids=["whole", "eight digits", "none"])
def test_a_file_whose_size_nobody_published(tmp_path, digest):
    told: list[tuple[int, int]] = []
    with serving(broken, ranged) as server:
        path = fetch([server.url], "file.bin", digest, None, tmp_path, pause=0.01, progress=lambda *at: told.append(at))
        assert path.read_bytes() == BODY
        assert server.asked[1] is not None  # gone on with, not begun anew
    assert told[-1] == (len(BODY), len(BODY))


def test_a_file_of_unknown_size_that_is_whole_already_is_not_asked_for_again(tmp_path):
    (tmp_path / "file.bin.part").write_bytes(BODY)
    with serving(fails(416)) as server:
        assert fetch([server.url], "file.bin", DIGEST[:15], None, tmp_path, pause=0.01).read_bytes() == BODY
        assert server.asked == []


def test_the_first_digits_of_a_checksum_are_held_to(tmp_path):
    with serving(whole) as server, pytest.raises(DownloadError, match="checksum isn't sha256:00000000"):
        fetch([server.url], "file.bin", "sha256:00000000", None, tmp_path, pause=0.01)
