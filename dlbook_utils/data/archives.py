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
from pathlib import Path

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
    wanted = {Path(path).name for file in item.gives for path in file.pieces or (file.path,)}
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
    whole = {file: _whole(file, unpacked, folder) for file in item.gives}
    return {_checked(file, path): path for file, path in whole.items()}


def _whole(file: File, unpacked: dict[str, Path], folder: Path) -> Path:
    """The one file that `file` is: as it was unpacked, or its pieces put end to end."""
    if not file.pieces:
        return unpacked[Path(file.path).name]
    path = folder / Path(file.path).name
    with path.open("wb") as target:
        for piece in file.pieces:
            target.write(unpacked[Path(piece).name].read_bytes())
    return path


def _from_tar(fetched: Path, wanted: set[str], folder: Path) -> dict[str, Path]:
    unpacked = {}
    with tarfile.open(fetched, "r:gz") as archive:
        for member in archive:
            name = Path(member.name).name
            if name in wanted and member.isfile():
                unpacked[name] = folder / name
                source = archive.extractfile(member)
                assert source is not None  # a regular file has content
                with source, unpacked[name].open("wb") as target:
                    shutil.copyfileobj(source, target)
    return unpacked


def _from_zip(fetched: Path, wanted: set[str], folder: Path) -> dict[str, Path]:
    unpacked = {}
    with zipfile.ZipFile(fetched) as archive:
        for member in archive.infolist():
            name = Path(member.filename).name
            if name in wanted and not member.is_dir():
                unpacked[name] = folder / name
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
