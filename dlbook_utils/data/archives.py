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
    wanted = _by_name(item.gives)
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
    if missing := wanted.keys() - unpacked.keys():
        raise WrongAnswer(f"sent an archive without {', '.join(sorted(missing))}")
    return {_checked(wanted[name], path): path for name, path in unpacked.items()}


def _by_name(files: tuple[File, ...]) -> dict[str, File]:
    """The files by their names, or, where two share one, by their places below the set's folder."""
    names = {Path(file.path).name: file for file in files}
    if len(names) == len(files):
        return names
    return {file.path.split("/", 1)[1]: file for file in files}


def _asked(member: str, wanted: dict[str, File]) -> str | None:
    """Which of the wanted names an archive's member has: its own, or the end of its path."""
    parts = PurePosixPath(member).parts
    ends = ("/".join(parts[k:]) for k in range(len(parts)))
    return next((end for end in ends if end in wanted), None)


def _from_tar(fetched: Path, wanted: dict[str, File], folder: Path) -> dict[str, Path]:
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


def _from_zip(fetched: Path, wanted: dict[str, File], folder: Path) -> dict[str, Path]:
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
