"""A file from elsewhere: resumed where it broke off, checked, and whole or not there."""

import hashlib
import urllib.error
import urllib.request
from pathlib import Path

from systems.files import locked

BLOCK = 2**20


def download(url: str, path: str | Path, *, md5: str, timeout: float = 30.0) -> Path:
    """Fetch a file; what an earlier try left is gone on with, and a file that is right already is left alone.

    Args:
        url: of the file.
        path: where it shall be; ``path + ".part"`` until it is whole.
        md5: its checksum.
        timeout: seconds without an answer.

    Raises:
        ValueError: if it cannot be fetched, ends early (the same call goes on with it), or has another checksum (then
            nothing of it is kept), or somebody else is fetching it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if not path.exists():
            return _fetched(url, path, md5, timeout)
    check_md5(path, md5)
    return path


def _fetched(url: str, path: Path, md5: str, timeout: float) -> Path:
    part = path.with_name(path.name + ".part")
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            if start and answer.status != 206:  # the server sends all of it
                start = 0
            expected = answer.headers.get("Content-Length")
            with open(part, "ab" if start else "wb") as file:
                while block := answer.read(BLOCK):
                    file.write(block)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing is left to be sent
            raise ValueError(f"url: {url} cannot be fetched ({error})") from error
        expected = None
    except (OSError, ValueError) as error:
        raise ValueError(f"url: {url} cannot be fetched ({error})") from error
    if expected is not None and part.stat().st_size < start + int(expected):
        raise ValueError(f"url: {url} broke off after {part.stat().st_size} bytes: the same command goes on with it")
    try:
        check_md5(part, md5)
    except ValueError:
        part.unlink()
        raise
    return part.replace(path)


def check_md5(path: Path, md5: str) -> None:
    """A ValueError unless the file has this checksum."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5:
        raise ValueError(f"{path.name}: expected the checksum {md5}, got {found}: the file is corrupt or another one")
