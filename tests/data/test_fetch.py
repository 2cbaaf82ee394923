"""Downloads from a server that misbehaves: a clear message each time, and nothing half-written."""

import contextlib
import dataclasses
import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlbook_utils import data
from dlbook_utils.data import archives, downloading, fetch, registry
from dlbook_utils.data.__main__ import main
from tests.data import misbehaving_server as server_module
from tests.data.misbehaving_server import CONTENT, ITEMS, serving, tar_of, tiny, zip_of

ROOT = Path(__file__).parents[2]
HASTY = downloading.Patience(connect=3, read=1.2, total=4, speed=10_000, grace=0.4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, nothing given, short patience, and no proxy on the way to this machine."""
    for name in ("DLBOOK_DATA", "DLBOOK_OFFLINE", "DLBOOK_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DLBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetch, "QUICK", HASTY)
    monkeypatch.setattr(fetch, "PATIENT", HASTY)
    monkeypatch.setattr(fetch, "_told", set())
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


@pytest.fixture
def offer(monkeypatch, server):
    """Put the tiny set into the registry, with mirrors that behave as named."""

    def put(*behaviours, **settings):
        server.asked.clear()
        source = tiny(*map(server.url, behaviours), **settings)
        monkeypatch.setitem(registry.SETS, "tiny", source)
        return source

    return put


def nothing_half_written(cache: Path) -> bool:
    """Only whole files, and no temporary folder, lie in the cache."""
    left = {path.name for path in cache.rglob("*") if path.is_file()} if cache.exists() else set()
    whole = not (cache / "tiny/tiny.txt").exists() or (
        (cache / "tiny/tiny.txt").read_bytes() == CONTENT
    )
    return whole and left <= {"tiny.txt", downloading.MEMORY, ".lock-tiny"}


def test_a_good_mirror_gives_the_real_set_and_is_asked_once(offer, cache, server, capsys):
    offer("good")
    first, again = data.load("tiny", "all"), data.load("tiny", "all")
    assert first.real
    assert first.items == again.items == tuple(CONTENT.decode().split())
    assert server.asked == ["good"]
    assert capsys.readouterr().out == ""
    assert nothing_half_written(cache)


MISBEHAVIOUR = {
    "unknown": "HTTP 404",
    "forbidden": "HTTP 403",
    "broken": "HTTP 500",
    "page": "sent a web page",
    "damaged": "another digest",
    "truncated": "broke off after",
    "short": f"sent {len(CONTENT) // 2:,} bytes, expected {len(CONTENT):,}",
    "endless": "sent more than the expected",
    "othersize": f"offers {len(CONTENT) + 1:,} bytes",
    "silent": "no answer in time",
    "stall": "stalled after",
    "trickle": "too slow",
}


@pytest.mark.parametrize(("how", "message"), MISBEHAVIOUR.items())
def test_a_bad_mirror_leads_to_a_stand_in_and_one_line(how, message, offer, cache, capsys):
    offer(how)
    start = time.monotonic()
    found = data.load("tiny", "all")
    data.load("tiny", "all")
    assert time.monotonic() - start < 8
    lines = capsys.readouterr().out.splitlines()
    assert not found.real
    assert len(lines) == 1
    assert lines[0].startswith("tiny: a stand-in is used")
    assert message in lines[0]
    assert nothing_half_written(cache)


@pytest.mark.parametrize("how", MISBEHAVIOUR)
def test_the_next_mirror_is_asked(how, offer, cache, server, monkeypatch):
    source = offer(how)
    with serving() as other:  # another port counts as another host
        item = source.downloads[0]
        urls = (*item.urls, other.url("good"))
        moved = tiny(*urls)
        monkeypatch.setitem(registry.SETS, "tiny", moved)
        assert data.load("tiny", "all").real
        assert other.asked == ["good"]
    assert nothing_half_written(cache)


def test_a_host_that_refuses_connections_is_skipped(offer, server, monkeypatch, capsys):
    with serving() as gone:
        closed = gone.url("good")
    monkeypatch.setitem(registry.SETS, "tiny", tiny(closed, server.url("good")))
    assert data.load("tiny", "all").real
    monkeypatch.setenv("DLBOOK_CACHE", os.environ["DLBOOK_CACHE"] + "2")
    monkeypatch.setitem(registry.SETS, "tiny", tiny(closed))
    assert not data.load("tiny", "all").real
    assert "no connection (127.0.0.1" in capsys.readouterr().out


def test_a_silent_host_is_remembered_for_an_hour_and_not_by_make_data(
    offer, cache, server, monkeypatch
):
    offer("silent", "good")  # one host, so the second address is not asked either
    assert not data.load("tiny").real
    assert server.asked == ["silent"]
    assert not data.load("tiny").real
    assert server.asked == ["silent"]
    assert main(["tiny"]) == 0  # asks again, and reaches the good address
    assert server.asked == ["silent", "silent", "good"]


def test_the_memory_expires_and_entries_keep_their_time(cache, monkeypatch):
    cache.mkdir()
    downloading.remember(cache, "a", "no connection")
    now = time.time()
    monkeypatch.setattr(downloading.time, "time", lambda: now + 1800)
    downloading.remember(cache, "b", "HTTP 404")
    assert downloading.recall(cache) == {"a": "no connection", "b": "HTTP 404"}
    monkeypatch.setattr(downloading.time, "time", lambda: now + 3700)
    assert downloading.recall(cache) == {"b": "HTTP 404"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', "\x00"])
def test_a_damaged_memory_is_forgotten(content, cache):
    cache.mkdir()
    (cache / downloading.MEMORY).write_text(content)
    assert downloading.recall(cache) == {}
    downloading.remember(cache, "a", "why")
    assert json.loads((cache / downloading.MEMORY).read_text())["a"][1] == "why"


def test_offline_asks_nobody(offer, server, monkeypatch, capsys):
    offer("good")
    monkeypatch.setenv("DLBOOK_OFFLINE", "1")
    assert not data.load("tiny").real
    assert server.asked == []
    assert "DLBOOK_OFFLINE forbids the network" in capsys.readouterr().out
    monkeypatch.setenv("DLBOOK_OFFLINE", "0")
    assert data.load("tiny").real


def test_an_own_mirror_replaces_the_public_ones(offer, server, monkeypatch):
    offer("broken")
    monkeypatch.setenv("DLBOOK_MIRROR", f"{server.url('unknown', '')} {server.url('good', '')}")
    assert data.load("tiny").real
    assert server.asked == ["unknown", "good"]


def test_a_damaged_file_in_the_cache_is_fetched_anew(offer, cache, server, capsys):
    offer("good")
    data.load("tiny")
    path = cache / "tiny/tiny.txt"
    for damage in (CONTENT[:-1], b"X" + CONTENT[1:], b""):
        path.write_bytes(damage)
        assert data.load("tiny", "all").items[0] == "item0"
        assert path.read_bytes() == CONTENT
    out = capsys.readouterr().out
    assert f"has {len(CONTENT) - 1:,} bytes, expected {len(CONTENT):,}" in out
    assert "has SHA-256" in out
    assert server.asked == ["good"] * 4


def test_a_given_folder_comes_first_and_is_never_written(
    offer, server, tmp_path, monkeypatch, capsys
):
    offer("good")
    given = tmp_path / "given"
    (given / "tiny").mkdir(parents=True)
    (given / "tiny/tiny.txt").write_bytes(CONTENT)
    monkeypatch.setenv("DLBOOK_DATA", str(given))
    assert data.load("tiny").real
    assert server.asked == []
    (given / "tiny/tiny.txt").write_bytes(b"damaged")
    assert data.load("tiny").real
    assert server.asked == ["good"]
    assert (given / "tiny/tiny.txt").read_bytes() == b"damaged"
    assert "not used" in capsys.readouterr().out
    monkeypatch.setenv("DLBOOK_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(data.DataError, match="nowhere is not a folder"):
        data.load("tiny")


def test_a_cache_that_cannot_be_written(offer, tmp_path, monkeypatch, capsys):
    offer("good")
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("DLBOOK_CACHE", str(tmp_path / "file/cache"))
    assert not data.load("tiny").real
    out = capsys.readouterr().out
    assert "file/cache cannot be written" in out
    assert "set DLBOOK_CACHE" in out


def test_a_file_in_the_cache_that_cannot_be_read(offer, cache, monkeypatch, capsys):
    offer("good", "good")
    data.load("tiny")
    read_bytes = Path.read_bytes

    def refuse(path):
        if path.name == "tiny.txt":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert not data.load("tiny").real
    assert "tiny.txt cannot be read: Permission denied" in capsys.readouterr().out


@pytest.mark.parametrize(("pack", "name"), [(tar_of, "tiny.tar.gz"), (zip_of, "tiny.zip")])
def test_archives(pack, name, cache, monkeypatch, capsys):
    """The right archive is used; a member that climbs out, a wrong and a missing one are not."""
    good = pack({"folder/readme": b"hello", "folder/tiny.txt": CONTENT})
    climbing = pack({"../../tiny.txt": CONTENT, "../escaped.txt": b"x"})
    wrong = pack({"folder/tiny.txt": CONTENT[::-1]})
    without = pack({"folder/other.txt": CONTENT})
    not_one = b"this is no archive"
    for body, message in (
        (not_one, "damaged archive"),
        (without, "an archive without tiny.txt"),
        (wrong, "sent tiny.txt with SHA-256"),
        (climbing, None),
        (good, None),
    ):
        monkeypatch.setattr(fetch, "_told", set())
        with serving(body) as server:
            source = tiny(server.url("good", name), body=body, name=name)
            monkeypatch.setitem(registry.SETS, "tiny", source)
            assert data.load("tiny").real == (message is None)
        assert (message or "") in capsys.readouterr().out
        assert nothing_half_written(cache)
        assert not list(cache.parent.rglob("escaped.txt"))
        (cache / "tiny/tiny.txt").unlink(missing_ok=True)


@pytest.mark.parametrize(("pack", "name"), [(tar_of, "two.tar.gz"), (zip_of, "two.zip")])
def test_members_of_one_name_are_told_apart_by_their_folders(pack, name, tmp_path):
    """And a folder elsewhere in the archive that ends alike is not taken for theirs."""
    files = tuple(
        registry.File(f"set/one/{folder}/00.png", hashlib.sha256(folder.encode()).hexdigest(), 1)
        for folder in ("raw", "drawn")
    )
    members = {"top/one/raw/00.png": b"raw", "top/one/drawn/00.png": b"drawn"}
    packed = tmp_path / name
    packed.write_bytes(pack(members | {"top/two/raw/00.png": b"another"}))
    item = registry.Download(name, "sha256:", None, (), files)
    unpacked = archives.unpack(packed, item, tmp_path)
    assert [unpacked[file].read_bytes() for file in files] == [b"raw", b"drawn"]
    packed.write_bytes(pack({"top/one/raw/00.png": b"raw"}))
    with pytest.raises(downloading.WrongAnswer, match="without one/drawn/00.png"):
        archives.unpack(packed, item, tmp_path)


def with_field(archive: bytes, local: int, central: int, value: int) -> bytes:
    """A zip in whose headers a field of two bytes, at these offsets, says something else."""
    changed = bytearray(archive)
    for mark, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        at = archive.index(mark) + offset
        changed[at : at + 2] = value.to_bytes(2, "little")
    return bytes(changed)


@pytest.mark.parametrize(
    ("field", "message"),
    [((6, 8, 1), "encrypted"), ((8, 10, 99), "compression method is not supported")],
    ids=["encrypted", "unknown compression"],
)
def test_an_archive_that_cannot_be_opened_leads_to_the_next_mirror(
    field, message, cache, monkeypatch, capsys
):
    body = with_field(zip_of({"tiny.txt": CONTENT}), *field)
    with serving(body) as server:
        url = server.url("good", "tiny.zip")
        monkeypatch.setitem(registry.SETS, "tiny", tiny(url, url, body=body, name="tiny.zip"))
        assert not data.load("tiny", "all").real
    out = capsys.readouterr().out
    assert "sent an archive that cannot be opened" in out
    assert message in out
    assert nothing_half_written(cache)


def test_a_certificate_bundle_that_does_not_exist_is_named(cache, monkeypatch, capsys):
    monkeypatch.setitem(registry.SETS, "tiny", tiny("https://127.0.0.1:1/tiny.txt"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    assert not data.load("tiny").real
    out = capsys.readouterr().out
    assert "/nowhere/bundle.pem" in out
    assert "cannot be written" not in out
    assert downloading.recall(cache) == {}  # not the host's fault


@pytest.mark.parametrize("value", ["not a url", "http:/one-slash", "ftp://host/x", "http://"])
def test_a_mirror_that_is_no_address_is_named(value, offer, server, monkeypatch, capsys):
    offer("good")
    monkeypatch.setenv("DLBOOK_MIRROR", value)
    assert not data.load("tiny").real
    out = capsys.readouterr().out
    assert f"DLBOOK_MIRROR holds {value.split()[0]!r}, which is no address" in out
    assert server.asked == []


def test_a_disk_that_is_full_is_no_fault_of_the_host(offer, cache, monkeypatch, capsys):
    offer("good")
    opened = downloading._opened

    @contextlib.contextmanager
    def full(path):
        with opened(path) as file:

            class Full:
                def write(self, chunk):
                    raise OSError(28, "No space left on device")

            yield Full()
            del file

    monkeypatch.setattr(downloading, "_opened", full)
    assert not data.load("tiny").real
    assert "cannot be written (No space left on device)" in capsys.readouterr().out
    assert downloading.recall(cache) == {}


def test_another_value_error_is_told_in_its_own_words(offer, monkeypatch, capsys):
    import pooch

    def refuse(*args, **options):
        raise ValueError("unrecognised URL")

    offer("good")
    monkeypatch.setattr(pooch, "retrieve", refuse)
    assert not data.load("tiny").real
    out = capsys.readouterr().out
    assert "cannot be asked (unrecognised URL)" in out
    assert "digest" not in out


@pytest.mark.skipif(os.name == "nt", reason="no such rights")
@pytest.mark.parametrize(("mask", "rights"), [(0o077, 0o600), (0o022, 0o644)])
def test_files_are_as_private_as_their_folder(mask, rights, offer, cache):
    offer("good")
    before = os.umask(mask)
    try:
        assert data.load("tiny").real
    finally:
        os.umask(before)
    assert (cache / "tiny/tiny.txt").stat().st_mode & 0o777 == rights


def test_a_given_folder_that_is_none_is_no_missing_set(offer, tmp_path, monkeypatch, capsys):
    offer("good")
    monkeypatch.setenv("DLBOOK_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(data.DataError, match="nowhere is not a folder"):
        data.ensure("tiny")
    with pytest.raises(SystemExit) as stop:
        main(["tiny"])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].endswith("nowhere is not a folder: correct it or unset it")


def test_a_gzipped_file_is_kept_packed(cache, monkeypatch):
    """As for Fashion-MNIST: the .gz is downloaded, stays as it is, and is read."""
    packed = gzip.compress(CONTENT)
    outer = registry.File("tiny/tiny.txt.gz", hashlib.sha256(packed).hexdigest(), len(packed))
    file = registry.File("tiny/tiny.txt", server_module.SHA256, len(CONTENT), outer)
    with serving(packed) as server:
        source = tiny(server.url("good", "tiny.txt.gz"), body=packed, name="tiny.txt.gz")
        item = dataclasses.replace(source.downloads[0], gives=(file,))
        source = dataclasses.replace(source, downloads=(item,))
        monkeypatch.setitem(registry.SETS, "tiny", source)
        for _ in range(2):
            assert data.load("tiny", "all").real
        assert server.asked == ["good"]
    assert [path.name for path in (cache / "tiny").iterdir()] == ["tiny.txt.gz"]


PIECES = registry.File(
    "tiny/tiny.txt",
    server_module.SHA256,
    len(CONTENT),
    pieces=("tiny/some/a.txt", "tiny/some/b.txt"),
)


def in_pieces(url: str, body: bytes) -> registry.Source:
    source = tiny(url, body=body, name="tiny.zip")
    item = dataclasses.replace(source.downloads[0], gives=(PIECES,))
    return dataclasses.replace(source, downloads=(item,))


def test_a_file_comes_in_pieces_from_an_archive(cache, monkeypatch, capsys):
    """As for FSDD: 3,000 small files of an archive are put end to end, checked and kept as one."""
    body = zip_of({"b.txt": CONTENT[3:], "a.txt": CONTENT[:3], "more.txt": b"else"})
    with serving(body) as server:
        monkeypatch.setitem(registry.SETS, "tiny", in_pieces(server.url("good", "tiny.zip"), body))
        for _ in range(2):
            assert data.load("tiny", "all").real
        assert server.asked == ["good"]
    assert [path.name for path in (cache / "tiny").iterdir()] == ["tiny.txt"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.txt": CONTENT[:3]}, "sent an archive without b.txt"),
        ({"a.txt": CONTENT[:3], "b.txt": b"else"}, "sent tiny.txt with SHA-256"),
    ],
)
def test_a_piece_that_is_missing_or_wrong(members, message, cache, monkeypatch, capsys):
    body = zip_of(members)
    with serving(body) as server:
        monkeypatch.setitem(registry.SETS, "tiny", in_pieces(server.url("good", "tiny.zip"), body))
        assert not data.load("tiny", "all").real
    assert message in capsys.readouterr().out
    assert nothing_half_written(cache)


def test_pieces_in_a_folder_are_as_good_as_the_file(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.SETS, "tiny", in_pieces("http://127.0.0.1:1/tiny.zip", b""))
    monkeypatch.setenv("DLBOOK_DATA", str(tmp_path))
    absent = data.fingerprint()
    (tmp_path / "tiny/some").mkdir(parents=True)
    (tmp_path / "tiny/some/a.txt").write_bytes(CONTENT[:3])
    assert fetch.present(tmp_path, PIECES) is None
    (tmp_path / "tiny/some/b.txt").write_bytes(CONTENT[3:])
    assert data.fingerprint() != absent
    assert fetch.read(tmp_path, PIECES) == CONTENT
    assert data.load("tiny", "all").real
    (tmp_path / "tiny/some/b.txt").write_bytes(CONTENT[3:-1] + b"?")
    with pytest.raises(fetch.DamagedFile, match="SHA-256"):
        fetch.read(tmp_path, PIECES)


CHILD = """
import sys
from tests.data.misbehaving_server import tiny
from dlbook_utils import data
from dlbook_utils.data import registry
registry.SETS["tiny"] = tiny(*sys.argv[1:])
found = data.load("tiny", "all")
print(found.real, len(found))
"""


def child(*urls: str) -> subprocess.Popen:
    """Another process that loads the tiny set."""
    path = str(ROOT)
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *urls], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_two_processes_at_once_download_once(cache, server):
    server.asked.clear()
    both = [child(server.url("leisurely")) for _ in range(2)]
    answers = [process.communicate(timeout=30)[0].splitlines()[-1] for process in both]
    assert answers == [f"True {ITEMS}"] * 2
    assert server.asked == ["leisurely"]
    assert nothing_half_written(cache)


def test_killed_half_way(cache, server, offer):
    process = child(server.url("stall"))
    deadline = time.monotonic() + 20

    def begun():
        return any(p.is_file() and p.stat().st_size for p in cache.glob(".part-tiny/*"))

    while not begun() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert begun()
    process.kill()
    process.wait()
    process.stdout.close()
    assert not (cache / "tiny/tiny.txt").exists()
    assert list(cache.glob(".part-tiny/*"))  # left behind, and cleared by the next download
    offer("good")
    assert data.load("tiny").real
    assert nothing_half_written(cache)


def test_make_data_reports_each_set_and_its_exit_code(offer, cache, capsys, monkeypatch):
    offer("broken")
    assert main(["digits", "xor", "tiny"]) == 1
    digits, xor, missing = capsys.readouterr().out.splitlines()
    assert digits == "digits: always there, bundled with Python's packages"
    assert xor == "xor: always there, generated when asked for"
    assert missing.startswith("tiny: not there, a stand-in will be used: tiny.txt cannot be had: ")
    offer("good")
    for _ in range(2):  # the second time nothing is downloaded
        assert main(["tiny"]) == 0
        assert capsys.readouterr().out == f"tiny: real, {len(CONTENT) / 1e6:.1f} MB in {cache}\n"
    with pytest.raises(SystemExit) as stop:
        main(["tniy"])
    assert stop.value.code == 2
    assert "did you mean 'tiny'?" in capsys.readouterr().err


def test_the_fingerprint_follows_the_files(offer, cache, tmp_path, monkeypatch):
    offer("good")
    absent = data.fingerprint()
    assert data.fingerprint() == absent
    data.load("tiny")
    real = data.fingerprint()
    assert real != absent
    os.utime(cache / "tiny/tiny.txt", ns=(1, 1))
    assert data.fingerprint() not in (absent, real)
    (cache / "tiny/tiny.txt").write_bytes(CONTENT[:-1])  # cannot be the real one
    assert data.fingerprint() == absent


def test_the_registry_is_well_formed():
    """Each registered mirror is an http(s) address, and each digest has the length of its kind."""
    length = {"sha256": 64, "sha1": 40}
    for source in registry.SETS.values():
        for item in source.downloads:
            kind, digest = item.digest.split(":")
            assert len(digest) == length[kind]
            assert all(url.startswith(("https://", "http://")) for url in item.urls)
            assert len(item.urls) >= 2
            assert all(len(file.sha256) == 64 and file.size > 0 for file in item.gives)
