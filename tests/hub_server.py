"""A small server that speaks the hub's HTTP API, as huggingface_hub and datasets use it.

Files are in memory. Large ones are answered as those in LFS are: a redirect to another host, here
the other name of this machine. Faults can be planned, and every request is on record.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_LARGE = 10_000  # bytes from which on a file is in LFS
_LISTED = 6  # entries of a page of a list
_API = re.compile(
    r"/api/(datasets|models)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+))?(.*)"
)
_FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repository:
    """One commit of a repository.

    Attributes
    ----------
    token : what a request must bring to read files; None if none is needed.
    gated : whether its page can be seen without that.
    """

    files: dict[str, bytes]
    token: str | None = None
    gated: bool = False

    @property
    def commit(self) -> str:
        """40 hexadecimal digits that change with the content."""
        digest = hashlib.sha1()
        for name, content in sorted(self.files.items()):
            digest.update(name.encode() + b"\0" + content)
        return digest.hexdigest()

    def has(self, revision: str) -> bool:
        """Whether it is a name of the commit."""
        return revision in ("main", self.commit)


@dataclass
class Request:
    """What was asked and answered."""

    method: str
    path: str
    range: str | None
    status: int
    sent: int = 0


@dataclass
class HubServer:
    """The repositories by kind and name ('datasets/owner/name'), and what goes wrong.

    Attributes
    ----------
    faults : statuses that the next requests get whose path a regular expression matches.
    cuts : bytes after which the connection breaks, by such an expression; once each.
    retry_after, message : what faults say beside the status.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    faults: dict[str, list[int]] = field(default_factory=dict)
    cuts: dict[str, int] = field(default_factory=dict)
    retry_after: int | None = None
    message: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: list[socket] = field(default_factory=list)

    @cached_property
    def http(self) -> ThreadingHTTPServer:
        """The server, listening on a free port."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.hub = self  # type: ignore[attr-defined]
        return server

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self.http.server_port}"

    def bodies(self, pattern: str) -> list[int]:
        """Bytes sent by every GET whose path matches, in order."""
        return [
            request.sent
            for request in self.requests
            if request.method == "GET" and re.search(pattern, request.path) and request.sent
        ]

    @contextmanager
    def running(self) -> Iterator[HubServer]:
        """Serve while the block lasts, or until :meth:`stop`."""
        thread = Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            thread.join()

    def stop(self) -> None:
        """Serve no longer: connections are refused."""
        self.http.shutdown()
        self.http.server_close()
        for connection in self.connections:
            with suppress(OSError):  # it is closed
                connection.shutdown(SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer takes 40 ms

    def log_message(self, *_: object) -> None:
        """Requests are on record instead."""

    @property
    def hub(self) -> HubServer:
        return self.server.hub  # type: ignore[attr-defined]

    def setup(self) -> None:
        super().setup()
        self.hub.connections.append(self.connection)

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        self.record = Request(self.command, url.path, self.headers.get("Range"), 0)
        self.hub.requests.append(self.record)
        length = int(self.headers.get("Content-Length") or 0)
        form = parse_qs(self.rfile.read(length).decode())
        for pattern, statuses in self.hub.faults.items():
            if statuses and re.search(pattern, url.path):
                headers = {"X-Error-Message": self.hub.message}
                if self.hub.retry_after is not None:
                    headers["Retry-After"] = str(self.hub.retry_after)
                self._send(statuses.pop(0), b"", headers)
                return
        if url.path.startswith("/lfs/"):
            self._send_file(*self._blob(url.path.removeprefix("/lfs/")), url.path)
        elif match := _API.fullmatch(url.path):
            self._api(match, parse_qs(url.query), form)
        elif match := _FILE.fullmatch(url.path):
            self._resolve(match)
        else:
            self._error(404, "EntryNotFound", "no such page")

    def _repository(self, kind: str, name: str, revision: str) -> Repository | None:
        """The repository; None if the answer was an error."""
        repository = self.hub.repositories.get(f"{kind}/{name}")
        if repository is None or not (repository.gated or self._is_open(repository)):
            # So that nobody learns which private repositories there are.
            self._error(401, "RepoNotFound", "Invalid username or password.")
        elif not repository.has(revision):
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repository
        return None

    def _is_open(self, repository: Repository) -> bool:
        return repository.token in (None, self._token)

    @property
    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _api(self, match: re.Match[str], query: dict[str, list[str]], form: dict[str, Any]) -> None:
        kind, name, page, revision, rest = match.groups()
        repository = self._repository(kind, name, unquote(revision or "main"))
        if repository is None:
            return
        entries = _entries(repository.files)
        if page == "paths-info":
            self._json([entry for entry in entries if entry["path"] in form.get("paths", [])])
        elif page == "tree":
            self._tree(entries, unquote(rest).strip("/"), query)
        else:
            siblings = [{"rfilename": path} for path in repository.files]
            info = {"id": name, "sha": repository.commit, "private": False, "siblings": siblings}
            self._json({**info, "gated": repository.gated and "manual"})

    def _tree(self, entries: list[dict[str, Any]], folder: str, query: dict[str, Any]) -> None:
        """A listing, in pages."""
        prefix = f"{folder}/" if folder else ""
        inside = [entry for entry in entries if entry["path"].startswith(prefix)]
        if query.get("recursive", ["false"])[0].lower() != "true":
            inside = [e for e in inside if "/" not in e["path"].removeprefix(prefix)]
        if folder and not inside:
            self._error(404, "EntryNotFound", f"{folder} does not exist")
            return
        start = int(query.get("cursor", ["0"])[0])
        recursive = query.get("recursive", ["false"])[0]
        following = f"{self.hub.endpoint}{self.path.partition('?')[0]}?recursive={recursive}"
        stop = start + _LISTED
        headers = {"Link": f'<{following}&cursor={stop}>; rel="next"'} if stop < len(inside) else {}
        self._json(inside[start:stop], headers)

    def _resolve(self, match: re.Match[str]) -> None:
        is_dataset, name, revision, path = match.groups()
        kind = "datasets" if is_dataset else "models"
        repository = self._repository(kind, name, unquote(revision))
        if repository is None:
            return
        headers = {"X-Repo-Commit": repository.commit}
        content = repository.files.get(unquote(path))
        if not self._is_open(repository):
            status = 403 if self._token else 401
            self._error(status, "GatedRepo", f"Access to {kind} {name} is restricted.")
        elif content is None:
            self._error(404, "EntryNotFound", "Entry not found", headers)
        elif len(content) < _LARGE:
            self._send_file(content, {**headers, "ETag": f'"{_blob_id(content)}"'}, self.path)
        else:
            sha = hashlib.sha256(content).hexdigest()
            headers |= {"X-Linked-Etag": f'"{sha}"', "X-Linked-Size": str(len(content))}
            elsewhere = self.hub.endpoint.replace("127.0.0.1", "localhost")
            self._send(302, b"", {**headers, "Location": f"{elsewhere}/lfs/{sha}"})

    def _blob(self, sha: str) -> tuple[bytes, dict[str, str]]:
        assert not self._token, "the token is for the hub alone"
        contents = (c for r in self.hub.repositories.values() for c in r.files.values())
        content = next(c for c in contents if hashlib.sha256(c).hexdigest() == sha)
        return content, {"ETag": f'"{sha}"'}

    def _send_file(self, content: bytes, headers: dict[str, str], path: str) -> None:
        headers = {**headers, "Accept-Ranges": "bytes"}
        status, start, stop = 200, 0, len(content)
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.record.range or ""):
            status, start = 206, int(match[1])
            stop = int(match[2]) + 1 if match[2] else stop
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        body = content[start:stop]
        pattern = next((p for p in self.hub.cuts if re.search(p, path)), None)
        if pattern is None or self.command == "HEAD":
            self._send(status, body, headers)
            return
        self._send(status, body, headers, cut=self.hub.cuts.pop(pattern))

    def _error(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        coded = {"X-Error-Code": code, "X-Error-Message": message}
        self._send(status, b"", {**coded, **(headers or {})})

    def _json(self, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(
            200, json.dumps(value).encode(), {**(headers or {}), "Content-Type": "application/json"}
        )

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None
    ) -> None:
        self.record.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.record.sent = self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True


def _entries(files: dict[str, bytes]) -> list[dict[str, Any]]:
    """Files and folders, as the hub lists them."""
    folders = {
        "/".join(path.split("/")[:depth])
        for path in files
        for depth in range(1, path.count("/") + 1)
    }
    listed: list[dict[str, Any]] = [
        {"type": "directory", "path": folder, "oid": "0" * 40, "size": 0} for folder in folders
    ]
    for path, content in files.items():
        entry = {"type": "file", "path": path, "oid": _blob_id(content), "size": len(content)}
        if len(content) >= _LARGE:
            sha = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha, "size": len(content), "pointerSize": 134}
        listed.append(entry)
    return sorted(listed, key=lambda entry: entry["path"])


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
