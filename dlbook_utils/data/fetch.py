"""Where the files of a data set lie, and how they get there.

The order is the folder `$DLBOOK_DATA`, then the cache (`$DLBOOK_CACHE`, else pooch's folder for
"dlbook"), then the mirrors. `DLBOOK_OFFLINE=1` forbids the network; `DLBOOK_MIRROR` (addresses
separated by spaces) replaces the mirrors of the registry, for a classroom that has its own copy.
Both folders have the layout that torchvision and the original archives use.

Three rules keep half-written data out: a download lives in a folder of its own until its digest
is right, a file gets its final name in one step, and the bytes that are used are the bytes that
were checked, each time they are read.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from dlbook_utils.page.notebook import say

from . import archives, downloading
from .downloading import PATIENT, QUICK, Patience
from .registry import DataError, Download, File, Source


class DamagedFile(DataError):
    """A file that is there, but is not the published one."""


_told: set[str] = set()


def notice(subject: str, line: str) -> None:
    """Print a line that the reader should see, once per subject and process."""
    if subject not in _told:
        _told.add(subject)
        say(line)


def offline() -> bool:
    """Whether `DLBOOK_OFFLINE` forbids the network."""
    return os.environ.get("DLBOOK_OFFLINE", "").lower() not in {"", "0", "false", "no"}


def given_folder() -> Path | None:
    """The folder `$DLBOOK_DATA`, or None when it is not set; DataError when it is no folder."""
    value = os.environ.get("DLBOOK_DATA")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise DataError(f"DLBOOK_DATA={value} is not a folder: correct it or unset it")
    return folder


def cache_folder() -> Path:
    """The folder for downloads; it need not exist."""
    value = os.environ.get("DLBOOK_CACHE")
    if value:
        return Path(value).expanduser()
    import pooch

    return Path(pooch.os_cache("dlbook"))


def present(root: Path, file: File) -> File | None:
    """The variant of `file` (as it is, in pieces, or gzipped) that lies below `root`, or None."""
    for variant in (file, file.packed):
        if variant is not None and places_of(root, variant):
            return variant
    return None


def places_of(root: Path, file: File) -> list[Path]:
    """Where `file` lies below `root`: one path, or those of its pieces; empty if it does not."""
    with contextlib.suppress(OSError):
        if (root / file.path).is_file():
            return [root / file.path]
        paths = [root / piece for piece in file.pieces]
        if all(path.is_file() for path in paths):
            return paths
    return []


def read(root: Path, file: File) -> bytes:
    """The content of `file` below `root`, checked against its SHA-256; DamagedFile if it is not
    the published one.
    """
    variant = present(root, file) or file
    path = root / variant.path
    try:
        parts = [place.read_bytes() for place in places_of(root, variant) or [path]]
        content = parts[0] if len(parts) == 1 else b"".join(parts)
    except OSError as error:
        raise DamagedFile(f"{path} cannot be read: {error.strerror}") from error
    if len(content) != variant.size:
        raise DamagedFile(f"{path} has {len(content):,} bytes, expected {variant.size:,}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != variant.sha256:
        raise DamagedFile(f"{path} has SHA-256 {digest[:12]}…, expected {variant.sha256[:12]}…")
    return content if variant is file else gzip.decompress(content)


def is_whole(root: Path, file: File) -> bool:
    """Whether `file` lies below `root` and is the published one."""
    try:
        read(root, file)
    except DamagedFile:
        return False
    return True


def places(source: Source, *, patient: bool = False) -> Iterator[Path]:
    """Folders in which all files of `source` lie, best first; the last one is reached by
    downloading.

    Raises DataError, after the folders, if the files can't be had from any mirror. The caller
    goes on to the next folder when one holds a damaged file.
    """
    given = given_folder()
    if given is not None and all(present(given, file) for file in source.files):
        yield given
    cache = cache_folder()  # asks pooch, which a bare machine lacks
    if all(present(cache, file) for file in source.files):
        yield cache
    download(source, cache, patient=patient)
    yield cache


def download(source: Source, cache: Path, *, patient: bool = False, progress: bool = False) -> None:
    """Bring every file of `source` that is missing or damaged into `cache`, one process at a time.

    `patient` waits longer and ignores what is remembered of hosts. Raises DataError when a file
    can't be had.
    """
    if offline():
        raise DataError("DLBOOK_OFFLINE forbids the network")
    with _writable(cache), _alone(cache, source.name, PATIENT if patient else QUICK):
        part = cache / f".part-{source.name}"
        shutil.rmtree(part, ignore_errors=True)  # what a killed process left
        part.mkdir()
        try:
            for item in source.downloads:
                if not all(is_whole(cache, file) for file in item.gives):
                    _from_first_mirror(item, part, cache, patient, progress)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _writable(cache: Path):
    """Turn failures to write below `cache` into one clear error."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"the cache folder {cache} cannot be written ({reason}); set DLBOOK_CACHE to another"
        ) from error


@contextlib.contextmanager
def _alone(cache: Path, name: str, patience: Patience):
    """Hold the lock of a data set; the operating system frees it when its holder dies."""
    from filelock import FileLock, Timeout

    lock = FileLock(cache / f".lock-{name}")
    try:
        lock.acquire(timeout=0.2)
    except Timeout:
        notice(f"wait {name}", f"{name}: another process is downloading it, waiting")
        try:
            lock.acquire(timeout=patience.total + 60)
        except Timeout:
            raise DataError(f"another process has held {lock.lock_file} for too long") from None
    try:
        yield
    finally:
        lock.release()


def addresses(item: Download) -> tuple[str, ...]:
    """Where `item` can be had: the mirrors in `DLBOOK_MIRROR` when it is set, else those of the
    registry. DataError for a mirror that is no address.
    """
    own = os.environ.get("DLBOOK_MIRROR", "").split()
    for base in own:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise DataError(
                f"DLBOOK_MIRROR holds {base!r}, which is no address such as https://host/folder: "
                "correct it or unset it"
            )
    return tuple(f"{base.rstrip('/')}/{item.name}" for base in own) or item.urls


def _from_first_mirror(item: Download, part: Path, cache: Path, patient: bool, progress: bool):
    """Fetch `item` from the first mirror that delivers, and move its files to their place below
    `cache`.
    """
    failures: dict[str, list[str]] = {}  # hosts by reason
    for url in addresses(item):
        host = urlsplit(url).netloc
        known = {} if patient else downloading.recall(cache)
        if reason := known.get(host) or known.get(url):
            failures.setdefault(f"{reason} within the last hour", []).append(host)
            continue
        try:
            fetched = _retrieve(item, url, part, PATIENT if patient else QUICK, progress)
            files = archives.unpack(fetched, item, part)
        except (downloading.NoAnswer, downloading.WrongAnswer) as error:
            culprit = host if isinstance(error, downloading.NoAnswer) else url
            downloading.remember(cache, culprit, str(error))
            failures.setdefault(str(error), []).append(host)
        except downloading.NotAsked as error:
            failures.setdefault(str(error), []).append(host)
        else:
            for file, path in files.items():
                (cache / file.path).parent.mkdir(parents=True, exist_ok=True)
                path.chmod(0o644 & cache.stat().st_mode)  # as private as the folder, no more
                path.replace(cache / file.path)
            return
    summary = "; ".join(f"{reason} ({', '.join(who)})" for reason, who in failures.items())
    raise DataError(f"{item.name} cannot be had: {summary}")


def _retrieve(item: Download, url: str, part: Path, patience: Patience, progress: bool) -> Path:
    """Download `url` with pooch, which checks the digest; NoAnswer or WrongAnswer say what went
    wrong.
    """
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    stream = downloading.Stream(item, patience, progress)
    try:
        return Path(pooch.retrieve(url, item.digest, item.name, part, downloader=stream))
    except ValueError as error:
        if "does not match the known hash" in str(error):  # pooch's words
            raise downloading.WrongAnswer("sent a file with another digest") from error
        raise downloading.NotAsked(f"cannot be asked ({error})") from error
    finally:
        logger.setLevel(level)


def stamp(root: Path, file: File) -> tuple[str, int, int] | None:
    """Path, size and time of change of `file` below `root`, or None if it is not there or has
    another size.
    """
    variant = present(root, file)
    if variant is None:
        return None
    try:
        states = [place.stat() for place in places_of(root, variant)]
    except OSError:
        return None
    size = sum(state.st_size for state in states)
    latest = max((state.st_mtime_ns for state in states), default=0)
    return (variant.path, size, latest) if size == variant.size else None
