"""From a downloaded file to the files of the data set: unpack what is wanted, and check every
member.
"""

from __future__ import annotations

import hashlib
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from .downloading import WrongAnswer
from .registry import Download, File


def unpack(fetched: Path, item: Download, part: Path) -> dict[File, Path]:
    """The files that `item` gives, each checked, still in the temporary folder `part`.

    Members are looked for by name and written to places of our choosing, so that an archive can't
    write elsewhere. Raises WrongAnswer if the archive is damaged, or a member is missing or is
    not the published one.
    """
    if not fetched.name.endswith((".tar.gz", ".zip")):
        file = item.gives[0].packed or item.gives[0]
        return {_checked(file, fetched): fetched}
    folder = part / "unpacked"
    folder.mkdir(exist_ok=True)
    names = _names([path for file in item.gives for path in file.pieces or (file.path,)])
    wanted = set(names.values())
    try:
        members = _from_zip if fetched.suffix == ".zip" else _from_tar
        unpacked = members(fetched, wanted, folder)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise WrongAnswer(f"sent a damaged archive ({error})") from error
    except RuntimeError as error:  # encrypted; NotImplementedError: an unknown compression
        raise WrongAnswer(f"sent an archive that cannot be opened ({error})") from error
    except OSError as error:
        if error.errno is None:  # bz2's and gzip's word for damage; a full disk has a number
            raise WrongAnswer(f"sent a damaged archive ({error})") from error
        raise
    if missing := sorted(wanted - unpacked.keys()):
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise WrongAnswer(f"sent an archive without {', '.join(missing[:3])}{more}")
    places = {path: unpacked[name] for path, name in names.items()}
    whole = {file: _whole(file, places, folder) for file in item.gives}
    return {_checked(file, path): path for file, path in whole.items()}


def _names(paths: Iterable[str]) -> dict[str, str]:
    """What to look for, for each path: its name, or, where two share one, its place below the
    set's folder.
    """
    names = {path: Path(path).name for path in paths}
    if len(set(names.values())) == len(names):
        return names
    return {path: path.split("/", 1)[1] for path in names}


def _asked(member: str, wanted: set[str]) -> str | None:
    """Which of the wanted names an archive's member has: its own, or the end of its path."""
    parts = PurePosixPath(member).parts
    ends = ("/".join(parts[k:]) for k in range(len(parts)))
    return next((end for end in ends if end in wanted), None)


def _whole(file: File, places: dict[str, Path], folder: Path) -> Path:
    """The one file that `file` is: as it was unpacked, or its pieces put end to end."""
    if not file.pieces:
        return places[file.path]
    path = folder / Path(file.path).name
    with path.open("wb") as target:
        for piece in file.pieces:
            target.write(places[piece].read_bytes())
    return path


def _from_tar(fetched: Path, wanted: set[str], folder: Path) -> dict[str, Path]:
    unpacked = {}
    with tarfile.open(fetched, "r:gz") as archive:
        for member in archive:
            name = _asked(member.name, wanted)
            if name and member.isfile():
                unpacked[name] = folder / name.replace("/", "-")
                source = archive.extractfile(member)
                assert source is not None  # a regular file has content
                with source, unpacked[name].open("wb") as target:
                    shutil.copyfileobj(source, target)
    return unpacked


def _from_zip(fetched: Path, wanted: set[str], folder: Path) -> dict[str, Path]:
    unpacked = {}
    with zipfile.ZipFile(fetched) as archive:
        for member in archive.infolist():
            name = _asked(member.filename, wanted)
            if name and not member.is_dir():
                unpacked[name] = folder / name.replace("/", "-")
                with archive.open(member) as source, unpacked[name].open("wb") as target:
                    shutil.copyfileobj(source, target)
    return unpacked


def _checked(file: File, path: Path) -> File:
    """`file`, if `path` holds its published content."""
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != file.sha256:
        name = Path(file.path).name
        raise WrongAnswer(f"sent {name} with SHA-256 {digest[:12]}…, expected {file.sha256[:12]}…")
    return file
