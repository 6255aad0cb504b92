"""Fetch a file whole: from mirrors, in several goes where the line breaks, checked before it gets its name."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from visus import __version__
from visus.errors import DownloadError
from visus.files import sync_folder

Progress = Callable[[int, int], None]

TIMEOUT = 10.0  # seconds without a byte
REACH = 4.0  # seconds to resolve and reach a host: without a network the user hears of it soon
ATTEMPTS = 3
PAUSE = 0.5  # seconds before the second attempt; then twice as long each time
PATIENCE = 60.0  # seconds for another process, that fetches the same file, to get on
CHUNK = 1 << 16

_WRITABLE = "set VISUS_CACHE to a folder that can be written to"


class _Broken(Exception):
    """An attempt that failed in a way that another may not."""


class _Refused(Exception):
    """A mirror that can't give the file."""


def cache_folder() -> Path:
    """Where downloads are kept: $VISUS_CACHE, else the user's cache folder. It isn't created here.

    Raises DownloadError where the user has no home folder.
    """
    if chosen := os.environ.get("VISUS_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
    if Path(base).is_absolute():  # the XDG specification: a relative one is ignored
        return Path(base) / "visus"
    try:
        return Path.home() / ".cache" / "visus"
    except RuntimeError:
        raise DownloadError("there is no home folder to keep downloads in", _WRITABLE) from None


def fetch(
    urls: Sequence[str],
    name: str,
    digest: str,
    size: int | None,
    folder: Path,
    *,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
    pause: float = PAUSE,
) -> Path:
    """The path of `folder/name`, fetched from the first mirror that gives it, unless it lies there already.

    urls: mirrors, http or https. digest: "sha256:…" or "md5:…" of the file, or its first digits where no more is known,
    or "" where nothing is. size: in bytes; None where it isn't known. progress: called with the bytes that are there
    and the bytes in all (0 where they aren't known). timeout: seconds without a byte, after which
    an attempt is given up. pause: seconds before the second attempt, doubled before each further one.
    What came of a broken download stays in `name.part` and is gone on with. Raises DownloadError with each mirror's
    cause, and with the place where the file can be put by hand.
    """
    wanted = _Wanted(folder / name, folder / f"{name}.part", digest, size, timeout, pause)
    if wanted.lies_at(wanted.place):
        return wanted.place
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / f"{name}.lock", wanted.part):
            if wanted.lies_at(wanted.place):  # another process has fetched it meanwhile
                return wanted.place
            _from_mirrors(urls, wanted, progress)
            wanted.part.replace(wanted.place)
            sync_folder(folder)
    except OSError as problem:
        raise DownloadError(f"{name} can't be kept in {folder}: {problem.strerror or problem}", _WRITABLE) from None
    return wanted.place


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is fetched, and how patiently. place, part: where it goes, and where it grows."""

    place: Path
    part: Path
    digest: str
    size: int | None
    timeout: float
    pause: float

    @property
    def checked(self) -> bool:
        """Whether a checksum is known."""
        return bool(self.digest.partition(":")[2])

    def lies_at(self, path: Path) -> bool:
        """Whether the file there is the one that is wanted, whole."""
        algorithm, _, wanted = self.digest.partition(":")
        if not path.is_file() or self.size not in (None, path.stat().st_size):
            return False
        if not wanted:
            return True
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest().startswith(wanted)


def _from_mirrors(urls: Sequence[str], wanted: _Wanted, progress: Progress | None) -> None:
    """Fill the part with the whole file, or raise DownloadError."""
    causes = unreachable(urls)
    for url in urls:
        for attempt in range(ATTEMPTS if url not in causes else 0):
            time.sleep(wanted.pause * 2 ** (attempt - 1) if attempt else 0)
            begun = wanted.part.exists()
            try:
                _go_on(url, wanted, progress)
                if wanted.lies_at(wanted.part):
                    return
                wanted.part.unlink()
                kind = _Broken if begun else _Refused  # what lay there before may be what is wrong
                raise kind(f"the file isn't the one that is wanted: its checksum isn't {wanted.digest}")
            except _Refused as problem:
                causes[url] = str(problem)
                break
            except _Broken as problem:
                causes[url] = f"{problem} (attempt {attempt + 1} of {ATTEMPTS})"
    raise DownloadError(
        f"{wanted.place.name} could not be fetched" + "".join(f"\n  {url}: {causes[url]}" for url in urls),
        f"try again later, or fetch it by other means and put it at {wanted.place}",
    )


def _go_on(url: str, wanted: _Wanted, progress: Progress | None) -> None:
    """Fetch what the part lacks. Errors of the network become _Broken or _Refused; those of the disk stay OSErrors."""
    part, size = wanted.part, wanted.size
    have = part.stat().st_size if part.exists() else 0
    if have == size or (have and size is None and wanted.checked and wanted.lies_at(part)):
        return
    have = have if size is None or have < size else 0
    headers = {"User-Agent": f"visus/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with _network():
        request = urllib.request.Request(url, headers=headers)
        answer = urllib.request.build_opener(_Redirects).open(request, timeout=wanted.timeout)
    with answer:
        if size is None and answer.status == 206:
            size = _whole(answer.headers["Content-Range"])
        the_rest = "" if size is None else f"bytes {have}-{size - 1}/{size}"
        if answer.status not in (200, 206) or (answer.status == 206 and answer.headers["Content-Range"] != the_rest):
            part.unlink(missing_ok=True)  # so that the next attempt asks for all of it
            raise _Broken(
                f"the server answered {answer.status} {answer.headers['Content-Range'] or ''}, not {the_rest}"
            )
        if answer.status == 200:  # all of it: the server knows no ranges
            have = 0
        length = answer.headers["Content-Length"]
        if size is None and (length or "").isascii() and (length or "").isdigit():
            size = have + int(length or 0)
        if length is not None and size is not None and length != str(size - have):
            raise _Refused(f"the file there has {length} bytes, not {size:,}")
        with part.open("r+b" if have else "wb") as file:
            file.seek(have)
            while True:
                with _network():
                    piece = answer.read1(CHUNK)  # what has come, so that little is lost when no more does
                have += len(piece)
                if size is not None and have > size:
                    raise _Refused(f"the file there is longer than {size:,} bytes")
                file.write(piece)
                if not piece:
                    break
                if progress:
                    progress(have, size or 0)
            file.flush()
            os.fsync(file.fileno())
    if size is not None and have < size:
        raise _Broken(f"the connection broke off after {have:,} of {size:,} bytes")


def _whole(content_range: str | None) -> int | None:
    """The bytes in all that a partial answer names: "bytes 5-9/10"."""
    total = (content_range or "").rpartition("/")[2]
    return int(total) if total.isascii() and total.isdigit() else None


@contextmanager
def _network() -> Iterator[None]:
    """Sorts errors of the network into those that may pass and those that won't."""
    try:
        yield
    except urllib.error.HTTPError as problem:
        problem.close()
        if problem.code == 416:
            raise _Refused("the server has fewer bytes than were fetched before") from None
        kind = _Broken if problem.code >= 500 or problem.code == 429 else _Refused
        raise kind(f"the server answered {problem.code} {problem.reason}") from None
    except (OSError, HTTPException) as problem:
        cause = getattr(problem, "reason", None) or problem
        if isinstance(cause, TimeoutError):
            raise _Broken("the server fell silent") from None
        raise _Broken(f"the connection broke: {cause}") from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirection within http and https, and never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and (scheme, req.type) != ("http", "http"):
            fp.close()
            raise _Refused(f"the server redirects to {newurl}, which isn't {req.type}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def unreachable(urls: Sequence[str]) -> dict[str, str]:
    """The mirrors that can't be reached, and why. All hosts are tried at once: without a network it takes seconds.

    Through a proxy the host itself need not be reachable, so that nothing is tried.
    """
    causes = {url: "isn't an http or https address" for url in urls if urlsplit(url).scheme not in ("http", "https")}
    proxies = urllib.request.getproxies()
    waiting = []
    for url in urls:
        parts = urlsplit(url)
        if url not in causes and not (
            parts.scheme in proxies and not urllib.request.proxy_bypass(parts.hostname or "")
        ):
            causes[url] = f"no answer within {REACH:.0f} s"
            port = parts.port or (443 if parts.scheme == "https" else 80)
            # a daemon: resolving a name can't be interrupted, and mustn't hold up the program's end
            thread = threading.Thread(target=_reach, args=(url, parts.hostname or "", port, causes), daemon=True)
            thread.start()
            waiting.append(thread)
    end = time.monotonic() + REACH
    for thread in waiting:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(causes)


def _reach(url: str, host: str, port: int, causes: dict[str, str]) -> None:
    try:
        socket.create_connection((host, port), timeout=REACH / 2).close()
        causes.pop(url, None)
    except (OSError, UnicodeError) as problem:  # the latter for a name that can't be one
        causes[url] = f"{host} can't be reached: {getattr(problem, 'strerror', None) or problem}"


@contextmanager
def _alone(lock: Path, part: Path) -> Iterator[None]:
    """Hold the lock, which the system frees when a process ends; wait while another process gets on with the file.

    The lock file stays: removing it would let a third process lock a file that a second one still waits for.
    """
    with lock.open("a+b") as file:
        before, since = -1, time.monotonic()
        while not _lock(file.fileno()):
            size = part.stat().st_size if part.exists() else 0
            if size != before:
                before, since = size, time.monotonic()
            if time.monotonic() - since > PATIENCE:
                raise DownloadError(
                    f"another process has been fetching {part} for long, without getting on", "end it, or wait for it"
                )
            time.sleep(0.1)
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
else:
    import fcntl

    def _lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
