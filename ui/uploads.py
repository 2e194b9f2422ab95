"""Uploaded pictures: taken as they are, decoded only by our loader, and deleted when their visitor leaves."""

import threading
from collections import defaultdict
from pathlib import Path

import gradio as gr
from gradio.data_classes import ImageData
from gradio.utils import get_upload_folder

from engine.errors import ImageError
from engine.images import load_image
from engine.posts import Post

GONE = "The picture is no longer on this server (it is kept for an hour at most); choose it again."
NO_ADDRESS = "Pictures are not fetched from web addresses; upload the file."


def picture_field(**settings: object) -> gr.Image:
    """A gr.Image whose file reaches the handlers undecoded, as a path below Gradio's upload folder.

    The stock one opens the file with Pillow before our limits are checked, and downloads any address it is given
    without a limit. Gradio writes a stub file beside the module of every subclass, hence methods set on the instance.
    """
    field = gr.Image(type="filepath", image_mode=None, **settings)  # type: ignore[arg-type]
    fetch = field.async_move_resource_to_block_cache

    async def only_local(url_or_file_path: str | Path | None) -> str | None:
        if str(url_or_file_path).lower().startswith(("http:", "https:")):
            raise gr.Error(NO_ADDRESS, print_exception=False)
        return await fetch(url_or_file_path)

    field.async_move_resource_to_block_cache = only_local  # type: ignore[method-assign]
    field.preprocess = uploaded_path  # type: ignore[method-assign]
    return field


def uploaded_path(payload: ImageData | None) -> str | None:
    """The path of an uploaded file. One outside the upload folder is refused: Gradio lets unmarked payloads through."""
    if payload is None or payload.path is None:
        return None
    path = Path(payload.path).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()):
        raise gr.Error(NO_ADDRESS, print_exception=False)
    return str(path)


def read_draft(path: str | None, title: str | None, tags: str | None = "", description: str | None = "") -> Post:
    """The post a visitor typed and dropped. Tags are separated by commas. Raises PostError."""
    image = None
    if path:
        if not Path(path).is_file():
            raise ImageError(GONE)
        image = load_image(path)
    words = tuple(tag.strip() for tag in (tags or "").split(",") if tag.strip())
    return Post(title=(title or "").strip(), image=image, tags=words, description=(description or "").strip())


class Uploads:
    """Which visitor's session brought which files."""

    def __init__(self) -> None:
        self._paths: dict[str, set[Path]] = defaultdict(set)
        self._lock = threading.Lock()

    def remember(self, path: str | None, request: gr.Request) -> None:
        """Note that this session uploaded `path`."""
        if path and request.session_hash:
            with self._lock:
                self._paths[request.session_hash].add(Path(path))

    def forget(self, request: gr.Request) -> None:
        """Delete the files of a session that has ended, unless another visitor brought the very same file."""
        with self._lock:
            mine = self._paths.pop(request.session_hash or "", set())
            kept = set().union(*self._paths.values())
        for path in mine - kept:
            path.unlink(missing_ok=True)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()
