"""A local web server that serves one file in every wrong way, and a small data set to ask it for.

The first part of the path says how it behaves: /good/tiny.txt, /stall/tiny.txt and so on.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dlbook_utils.data.registry import Download, File, Source

CONTENT = "".join(f"item{k}\n" for k in range(20_000)).encode()
ITEMS = 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def tar_of(members: dict[str, bytes]) -> bytes:
    """A tar.gz with these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(members: dict[str, bytes]) -> bytes:
    """A zip with these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tiny(*urls: str, body: bytes = CONTENT, name: str = "tiny.txt", gives: str = SHA256) -> Source:
    """A source of one file, `body` being what its mirrors should send."""
    file = File("tiny/tiny.txt", gives, len(CONTENT))
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    item = Download(name, digest, len(body), urls, (file,))
    return Source(
        name="tiny",
        about="a set for tests",
        licence="none",
        cite="nobody",
        reader="lines",
        sizes={"all": ITEMS},
        downloads=(item,),
        stand_in="names",
    )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        how = self.path.split("/")[1]
        self.server.asked.append(how)
        with contextlib.suppress(OSError):  # the client may have had enough
            getattr(self, how, self.unknown)(self.server.body)

    def log_message(self, *_):
        pass

    def head(self, length: int | None = None, kind="application/octet-stream", code=200, **more):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        for key, value in more.items():
            self.send_header(key, value)
        if length is None:
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def unknown(self, body):
        self.send_error(404)

    def good(self, body):
        self.head(len(body))
        self.wfile.write(body)

    def leisurely(self, body):
        """The right file, over about a second."""
        self.head(len(body))
        for start in range(0, len(body), len(body) // 10 + 1):
            self.wfile.write(body[start : start + len(body) // 10 + 1])
            time.sleep(0.1)

    def forbidden(self, body):
        self.send_error(403)

    def broken(self, body):
        self.send_error(500)

    def page(self, body):
        """Redirect to a login page, as hotels and universities do."""
        self.head(0, code=302, Location="/login/")

    def login(self, body):
        text = b"<html>please log in</html>"
        self.head(len(text), "text/html; charset=utf-8")
        self.wfile.write(text)

    def damaged(self, body):
        self.head(len(body))
        self.wfile.write(bytes([body[0] ^ 1]) + body[1:])

    def truncated(self, body):
        """Announce everything, send half, hang up."""
        self.head(len(body))
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True

    def short(self, body):
        """Send half without having announced a length."""
        self.head()
        self.wfile.write(body[: len(body) // 2])

    def endless(self, body):
        self.head()
        while True:
            self.wfile.write(body)

    def othersize(self, body):
        self.head(len(body) + 1)
        self.wfile.write(body + b"!")

    def silent(self, body):
        """Accept the connection and say nothing."""
        self.server.over.wait(20)

    def stall(self, body):
        """Begin well, then say nothing more."""
        self.head(len(body))
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.server.over.wait(20)

    def trickle(self, body):
        """A few bytes now and then: never a timeout, never an end."""
        self.head(len(body))
        for k in range(len(body)):
            self.wfile.write(body[k : k + 1])
            self.wfile.flush()
            if self.server.over.wait(0.02):
                return


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, body: bytes = CONTENT):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.asked, self.over = body, [], threading.Event()

    def url(self, how: str, name: str = "tiny.txt") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{how}/{name}"


@contextlib.contextmanager
def serving(body: bytes = CONTENT):
    """A running server."""
    server = Server(body)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
