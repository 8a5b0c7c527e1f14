"""Files of a package, served by a slice: `assets = aether.static("shop", "static", at="/assets")`.

Knows: how a path leads to a file, what is said of it, reading it in pieces.
Never: which node has the client: the answer is an aether.Response like any other.
Holds: nothing outside the directory can be reached, by dots, links or encoding; hidden files are not there. Disks are
       asked through the instance's runner, never in the loop; at most PIECE_BYTES of a file are in memory.
Paper: RFC 9110 (conditional requests, ranges), RFC 9111 5.2.2 (Cache-Control).
"""

from __future__ import annotations

import importlib.resources
import json
import mimetypes
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import attrs

from aether.errors import ContractError
from aether.slice_api.conditional import Validators, precondition, wanted_range
from aether.slice_api.decorators import get, in_thread
from aether.slice_api.exchange import Request, Response
from aether.slice_api.faults import Fault
from aether.slice_api.negotiation import choose_coding

PIECE_BYTES: Final = 256 * 1024
_TYPES: Final = mimetypes.MimeTypes(filenames=())
_OWN_TYPES: Final = {
    ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".woff2": "font/woff2",
    ".webp": "image/webp", ".avif": "image/avif", ".map": "application/json", ".svg": "image/svg+xml",
    ".md": "text/markdown", ".webmanifest": "application/manifest+json",
}  # fmt: skip
_PLAIN: Final = "application/octet-stream"
Served = Callable[[Any, Request, str], Coroutine[Any, Any, Response]]


class FileMissing(Fault):
    """There is no such file."""

    status = 404
    path: str


@attrs.frozen
class _Found:
    """A file that is open, and what is said of it. coding  "gzip" when the file beside it was found"""

    file: BinaryIO
    size: int
    validators: Validators
    coding: str
    varies: bool


def static(package: str | Path, directory: str = "static", *, at: str, max_age_s: float = 3600.0) -> Served:
    """A method that serves the files below `directory` of `package` at `at`: `assets = aether.static("shop", at="/a")`.

    package    an importable package, or a path for scripts that are in none
    max_age_s  for which a client may use a file without asking again

    A path that ends with `/` is its `index.html`. Raises ContractError: no such package or directory.
    """
    root = _root(package, directory)
    if not at.startswith("/") or at != at.rstrip("/"):
        raise ContractError(f'aether.static(at={at!r}): give a path such as "/assets", without a slash at its end')

    async def files(self: Any, request: Request, rest: str) -> Response:
        async def run(function: Callable[..., Any], *args: Any) -> Any:
            return await in_thread(self, function, *args)

        found = await run(_open, root, rest, request.headers)
        if found is None:
            raise FileMissing(path=rest)
        headers = {
            **found.validators.headers,
            "Cache-Control": f"public, max-age={int(max_age_s)}",
            "Accept-Ranges": "bytes",
            "X-Content-Type-Options": "nosniff",
        }
        if found.varies:
            headers["Vary"] = "Accept-Encoding"
        if found.coding:
            headers["Content-Encoding"] = found.coding
        try:
            return await _answer(found, _type_of(rest), request, headers, run)
        except BaseException:
            found.file.close()
            raise

    files.__doc__ = f"Files of {package}, directory {directory}."
    return get(f"{at}/{{rest:path}}")(files)


async def _answer(
    found: _Found, media: str, request: Request, headers: dict[str, str], run: Callable[..., Awaitable[Any]]
) -> Response:
    status = precondition(request.headers, found.validators)
    start, stop = 0, found.size
    if status == 200 and not found.coding:
        try:
            wanted = wanted_range(request.headers, found.validators, found.size)
        except ValueError as error:
            found.file.close()
            return _problem(416, str(error), {**headers, "Content-Range": f"bytes */{found.size}"})
        if wanted is not None:
            status, (start, stop) = 206, wanted
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{found.size}"
    if status in (304, 412):
        found.file.close()
        if status == 412:
            return _problem(412, "the file has changed, or is not the one that was meant", headers)
        return Response(status=304, headers=headers)
    first = await run(_read, found.file, start, min(PIECE_BYTES, stop - start))
    if len(first) == stop - start:
        found.file.close()
        return Response(first, status=status, content_type=media, headers=headers)
    rest = _pieces(found.file, start + len(first), stop, run)
    return Response(first, status=status, content_type=media, headers=headers, stream=rest)


def _problem(status: int, detail: str, headers: dict[str, str]) -> Response:
    titles = {412: "Precondition Failed", 416: "Range Not Satisfiable"}
    kept = {name: value for name, value in headers.items() if name in ("Content-Range", "Accept-Ranges", "Vary")}
    text = json.dumps({"type": "about:blank", "title": titles[status], "status": status, "detail": detail})
    return Response(text.encode(), status=status, content_type="application/problem+json", headers=kept)


async def _pieces(file: BinaryIO, start: int, stop: int, run: Callable[..., Awaitable[Any]]) -> AsyncIterator[bytes]:
    with file:
        while start < stop:
            piece: bytes = await run(_read, file, start, min(PIECE_BYTES, stop - start))
            if not piece:
                raise OSError(f"{file.name} was cut off while it was read")
            start += len(piece)
            yield piece


# --- in a thread ------------------------------------------------------------------------------------------------------


def _open(root: Path, rest: str, headers: Mapping[str, str]) -> _Found | None:
    path = _path_of(root, rest)
    if path is None:
        return None
    beside = path.with_name(f"{path.name}.gz")
    has_packed = _is_inside(root, beside)
    wants = "range" not in headers and choose_coding(headers.get("accept-encoding", ""), ("gzip",)) == "gzip"
    coding = "gzip" if has_packed and wants else ""
    try:
        file = (beside if coding else path).open("rb")
    except OSError:  # gone since it was looked at
        return None
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        file.close()
        return None
    tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}{"-gz" if coding else ""}"'
    return _Found(file, status.st_size, Validators(tag, int(status.st_mtime)), coding, has_packed)


def _path_of(root: Path, rest: str) -> Path | None:
    """The file that `rest` names below `root`; None when there is none, or it may not be seen."""
    parts = rest.split("/")
    if parts[-1] == "":
        parts[-1] = "index.html"
    if any(not part or part.startswith(".") or any(mark in part for mark in "\\:\0") for part in parts):
        return None
    path = root.joinpath(*parts)
    return path if _is_inside(root, path) else None


def _is_inside(root: Path, path: Path) -> bool:
    try:
        return path.is_file() and path.resolve().is_relative_to(root)
    except (OSError, ValueError):  # a name that the disk cannot have
        return False


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _root(package: str | Path, directory: str) -> Path:
    if isinstance(package, Path):
        found: object = package / directory
    else:
        try:
            found = importlib.resources.files(package) / directory
        except (ImportError, TypeError) as error:
            raise ContractError(f"aether.static: there is no package {package!r}: {error}") from error
    if not isinstance(found, Path) or not found.is_dir():
        raise ContractError(f"aether.static: {package} has no directory {directory!r} here; is it in the wheel?")
    return found.resolve()


def _type_of(rest: str) -> str:
    name = rest.rpartition("/")[2] or "index.html"
    suffix = f".{name.rpartition('.')[2].lower()}"
    media = _OWN_TYPES.get(suffix) or _TYPES.guess_type(name)[0] or _PLAIN
    textual = media.startswith("text/") or media in ("application/json", "application/manifest+json", "image/svg+xml")
    return f"{media}; charset=utf-8" if textual else media
