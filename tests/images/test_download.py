"""Downloads: resumed, checked, and whole or not there. The server is of this machine."""

import hashlib
import http.server
import threading

import pytest

from hlieconv.images.download import download

CONTENT = bytes(range(256)) * 40
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    content, promised = CONTENT, len(CONTENT)

    def do_GET(self):
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.server.starts.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(self.promised - start))
        self.end_headers()
        self.wfile.write(self.content[start:])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(content=CONTENT):
        kind = type("Own", (Handler,), {"content": content})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
        server.starts = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server, f"http://127.0.0.1:{server.server_port}/file"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_broken_download_is_gone_on_with(serve, tmp_path):
    _, url = serve(content=CONTENT[:5000])
    with pytest.raises(ValueError, match=r"url: .* broke off after 5000 bytes: the same command goes on"):
        download(url, tmp_path / "f", md5=MD5)
    assert {path.name for path in tmp_path.iterdir()} == {"f.part"}
    server, url = serve()
    assert download(url, tmp_path / "f", md5=MD5).read_bytes() == CONTENT
    assert server.starts == [5000]
    assert {path.name for path in tmp_path.iterdir()} == {"f"}


def test_a_corrupt_download_leaves_nothing(serve, tmp_path):
    _, url = serve(content=CONTENT[:-1] + b"?")
    with pytest.raises(ValueError, match=f"expected the checksum {MD5}"):
        download(url, tmp_path / "f", md5=MD5)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_fetched_but_checked(tmp_path):
    (tmp_path / "f").write_bytes(CONTENT)
    assert download("http://127.0.0.1:9/", tmp_path / "f", md5=MD5) == tmp_path / "f"
    (tmp_path / "f").write_bytes(CONTENT[:10])
    with pytest.raises(ValueError, match="corrupt or another one"):
        download("http://127.0.0.1:9/", tmp_path / "f", md5=MD5)


def test_no_answer_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="cannot be fetched"):
        download("http://127.0.0.1:9/", tmp_path / "f", md5=MD5, timeout=2.0)
    assert not list(tmp_path.iterdir())
