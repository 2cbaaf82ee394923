"""Talking to a mirror: a download that gives up in time, and a memory of who did not answer."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from .registry import Download

MEMORY = "unreachable.json"
REMEMBERED_FOR = 3600  # seconds
CHUNK = 1 << 16


@dataclass(frozen=True)
class Patience:
    """Seconds to wait for a connection, for the next bytes and in all; the least speed in bytes/s
    after `grace` s.
    """

    connect: float
    read: float
    total: float
    speed: float
    grace: float = 10.0


QUICK = Patience(connect=4, read=10, total=240, speed=100_000)
PATIENT = Patience(connect=10, read=60, total=3600, speed=0)


class NoAnswer(Exception):
    """The host can't be reached, has stalled or is too slow: no use asking it for another file."""


class WrongAnswer(Exception):
    """The host answers, but not with this file."""


class NotAsked(Exception):
    """A setting of this machine keeps us from asking: no fault of the host, nothing to remember."""


class NotWritten(OSError):
    """The file cannot be written on this machine, whatever the host sends."""


@contextlib.contextmanager
def _writing():
    """Tell failures of this machine's disk from those of the network: both are OSErrors."""
    try:
        yield
    except OSError as error:
        raise NotWritten(*error.args) from error


def recall(cache: Path) -> dict[str, str]:
    """Hosts and addresses that failed within the last hour, with the reason."""
    return {key: reason for key, (_, reason) in _entries(cache).items()}


def _entries(cache: Path) -> dict[str, tuple[float, str]]:
    """What is remembered and not too old: time and reason; an unreadable memory is empty."""
    now = time.time()
    try:
        entries = json.loads((cache / MEMORY).read_text("utf-8"))
        return {
            key: (then, str(reason))
            for key, (then, reason) in entries.items()
            if 0 <= now - then < REMEMBERED_FOR
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remember(cache: Path, key: str, reason: str) -> None:
    """Write down that a host or an address failed now. Two processes at once may lose an entry,
    which does no harm.
    """
    entries = _entries(cache) | {key: (time.time(), reason)}
    temporary = cache / f".{MEMORY}.{os.getpid()}"
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(entries), "utf-8")
        temporary.replace(cache / MEMORY)


@contextlib.contextmanager
def _opened(path):
    """The file at `path`, to be written; what fails when it is closed is the disk's failure."""
    with _writing():
        file = Path(path).open("wb")  # noqa: SIM115 (closed below)
    try:
        yield file
    finally:
        with _writing():
            file.close()


class Stream:
    """A downloader for pooch: streams to a file, with a progress bar, and stops a host that is
    too slow.

    requests knows a timeout per read only, so a host that sends a byte now and then would hold us
    for ever.
    """

    def __init__(self, item: Download, patience: Patience, progress: bool):
        self.item, self.patience, self.progress = item, patience, progress

    def __call__(self, url, output_file, _pooch, check_only=False):
        import requests

        limits = (self.patience.connect, self.patience.read)
        plain = {"Accept-Encoding": "identity"}  # a .gz file must arrive gzipped
        try:
            with requests.get(url, stream=True, timeout=limits, headers=plain) as answer:
                self._check_head(answer)
                with _opened(output_file) as file:
                    self._copy(answer, file)
        except requests.Timeout as error:
            raise NoAnswer("no answer in time") from error
        except requests.ConnectionError as error:
            stalled = "timed out" in str(error)
            raise NoAnswer("stalled" if stalled else "no connection") from error
        except requests.RequestException as error:
            raise WrongAnswer(f"broke off ({type(error).__name__})") from error
        except NotWritten:
            raise
        except OSError as error:  # settings of this machine: REQUESTS_CA_BUNDLE, a proxy, ...
            raise NotAsked(f"cannot be asked ({error})") from error

    def _check_head(self, answer) -> None:
        """Refuse error codes, web pages and announced sizes that are wrong, before anything is
        read.
        """
        if answer.status_code != 200:
            raise WrongAnswer(f"HTTP {answer.status_code} {answer.reason}".strip())
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise WrongAnswer("sent a web page instead of the file")
        announced = answer.headers.get("Content-Length", "")
        if self.item.size and announced.isdigit() and int(announced) != self.item.size:
            raise WrongAnswer(f"offers {int(announced):,} bytes, expected {self.item.size:,}")

    def _copy(self, answer, file) -> None:
        """Copy the body to `file`, watching size and speed."""
        from tqdm.auto import tqdm
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        start, done = time.monotonic(), 0
        bar = tqdm(
            total=self.item.size,
            desc=self.item.name,
            unit="B",
            unit_scale=True,
            leave=False,
            disable=None if self.progress else True,  # None: only in a terminal
        )
        with bar:
            try:
                while chunk := answer.raw.read1(CHUNK):
                    with _writing():
                        file.write(chunk)
                    done += len(chunk)
                    bar.update(len(chunk))
                    self._check_pace(done, time.monotonic() - start)
            except ReadTimeoutError as error:
                raise NoAnswer(f"stalled after {done:,} bytes") from error
            except HTTPError as error:
                raise WrongAnswer(f"broke off after {done:,} bytes") from error
        if self.item.size and done != self.item.size:
            raise WrongAnswer(f"sent {done:,} bytes, expected {self.item.size:,}")

    def _check_pace(self, done: int, seconds: float) -> None:
        limit = self.patience
        if self.item.size and done > self.item.size:
            raise WrongAnswer(f"sent more than the expected {self.item.size:,} bytes")
        if seconds > limit.total or (seconds > limit.grace and done < limit.speed * seconds):
            raise NoAnswer(f"too slow ({done / seconds / 1000:.0f} kB/s)")
