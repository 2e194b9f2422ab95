"""Uploaded files: pictures kept under a name of ours without what a camera writes into them, and deleted after use."""

import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import gradio as gr
from gradio.route_utils import XSS_SAFE_MIMETYPES
from gradio.utils import get_upload_folder, is_static_file

from engine.context import read_context
from engine.errors import ImageError, PostError
from engine.images import WORKING_SIZE, load_image
from engine.memory import release, released
from engine.posts import Post

# Gradio sends other types as files to be saved; no script runs in this one.
XSS_SAFE_MIMETYPES.add("image/bmp")

Field = TypeVar("Field")

# Bytes of a picture whose pixels take a hundred megabytes or so until they are made fewer.
LARGE = 1_000_000
# Bytes of the largest picture as it is kept, and of all that is kept, for whomever.
PIXELS, MOST_KEPT = 3 * WORKING_SIZE**2, 10**9
# The ending of what is kept of a picture.
PICTURE = ".bmp"
GONE = (
    "The picture is not among the uploads on this server: another has taken its place, or its hour is over; choose it "
    "again."
)
NO_ADDRESS = "Pictures are not fetched from web addresses; upload the file."
NO_FILE = "The picture is no file; give one, as handle_file(path) of gradio_client makes it, or none."
NO_FILES = "Give the pictures as a list of files, as in [handle_file(path), handle_file(another)]."
NO_TEXT = "The {} is no text; write it in quotes."
NO_TAGS = "The tags are no text and no list of texts; separate them by commas within quotes."


def uploaded_path(given: Any) -> str | None:
    """The path of an uploaded file, or of an example's, as a call gives it; None for none. Anything else is refused."""
    if given is None or given == "":
        return None
    path = given.get("path") if isinstance(given, Mapping) else None
    if not path or not isinstance(path, str):
        raise gr.Error(NO_FILE, print_exception=False)
    if path.lower().startswith(("http:", "https:")):
        raise gr.Error(NO_ADDRESS, print_exception=False)
    try:
        found = Path(path).resolve()
    except (OSError, ValueError):
        # NUL, or half of a character.
        raise gr.Error(NO_FILE, print_exception=False) from None
    if not found.is_relative_to(Path(get_upload_folder()).resolve()) and not is_static_file(found):
        raise gr.Error(GONE, print_exception=False)
    return str(found)


def uploaded_paths(given: Any) -> list[str | None]:
    """The paths of several uploaded files; none where there are none. Anything else is refused."""
    if given is None or given == "":
        return []
    if not isinstance(given, list) or None in given:
        raise gr.Error(NO_FILES, print_exception=False)
    return [uploaded_path(file) for file in given]


def picture_field(**settings: object) -> gr.Image:
    """A gr.Image whose file reaches the handlers as a path below Gradio's upload folder, neither copied nor decoded.

    The stock one opens the file with Pillow before our limits are checked, and downloads any address it is given
    without a limit.
    """
    field: gr.Image = as_it_arrived(gr.Image(type="filepath", image_mode=None, **settings))  # type: ignore[arg-type]
    schema = {**field.api_info(), "additional_description": "A local file, as handle_file(path)."}
    # Gradio's own example is a web address.
    return altered(field, api_info=lambda _: schema, example_payload=lambda _: None)


def pictures_field(kind: Callable[..., Field], **settings: object) -> Field:
    """A gr.File or gr.UploadButton for several pictures, whose files reach the handlers as `picture_field`'s does."""
    field = as_it_arrived(kind(file_count="multiple", type="filepath", **settings), uploaded_paths)
    return altered(field, example_payload=lambda _: None)


def as_it_arrived(field: Field, read: Callable[[Any], Any] = uploaded_path) -> Field:
    """A field of files which reach the handlers as `read` reads them, which refuses what is no file."""
    schema = field.api_info()  # type: ignore[attr-defined]
    return altered(
        take_no_address(field),
        # Gradio's own refuse a file without its mark, and quote what is none; some are set when a field is made.
        data_model=property(lambda _: None, lambda *_: None),
        api_info=lambda _: schema,
        preprocess=lambda _, payload: read(payload),
    )


def take_no_address(field: Field) -> Field:
    """The field, which fetches nothing from the web, and leaves files that visitors brought where they are."""
    kind: Any = type(field)

    async def only_local(self: Any, url_or_file_path: str | Path | None) -> str | None:
        if str(url_or_file_path).lower().startswith(("http:", "https:")):
            raise gr.Error(NO_ADDRESS, print_exception=False)
        if UPLOADS.holds(url_or_file_path):
            return str(url_or_file_path)
        found: str | None = await kind.async_move_resource_to_block_cache(self, url_or_file_path)
        return found

    return altered(field, async_move_resource_to_block_cache=only_local)


def as_given(field: Field) -> Field:
    """A field whose value reaches the handlers as it was given: they have a sentence for what is wrong, where Gradio
    would make a text of it or log it.
    """
    return altered(field, preprocess=lambda _, payload: payload)


def altered(field: Field, **methods: Any) -> Field:
    """The field with other methods, in a class of its own: Gradio makes a field anew whenever a handler leaves it as it
    is or changes a setting, and what was set on the instance would be gone.

    The class is made past Gradio's metaclass, which writes a stub file beside the module of every subclass.
    """
    kind: Any = type(field)
    field.__class__ = type.__new__(type(kind), kind.__name__, (kind,), {"__module__": kind.__module__, **methods})
    return field


def read_draft(path: str | None, title: Any, tags: Any = "", description: Any = "", context: object = None) -> Post:
    """The post a visitor typed and dropped. Tags are separated by commas, or a list. Raises PostError."""
    words = tags if _is_texts(tags) else _text(tags, "tags").split(",")
    named, told = _text(title, "title"), _text(description, "description")
    image = None
    if path:
        UPLOADS.wait(path)
        if not Path(path).is_file():
            raise ImageError(GONE)
        image = load_image(path)
    return Post(named, image, tuple(tag.strip() for tag in words if tag.strip()), told, **read_context(context))


def _is_texts(given: object) -> bool:
    return isinstance(given, list) and all(isinstance(text, str) for text in given)


def _text(given: object, name: str) -> str:
    if isinstance(given, str):
        return given.strip()
    if given is None:
        return ""
    raise PostError(NO_TAGS if name == "tags" else NO_TEXT.format(name))


class Upload(NamedTuple):
    """A file that a visitor brought: when it is ready, its bytes until then or after, and the session it belongs to."""

    ready: Future[None]
    size: int
    session: str = ""


class Uploads:
    """The files that visitors brought."""

    def __init__(self) -> None:
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.Lock()
        # However many arrive together, only one large picture is in memory whole.
        self._decoder = ThreadPoolExecutor(1, "decode-upload")

    def keep(self, data: bytes) -> tuple[str, Future[None]]:
        """Path of the picture in these bytes, at the size and with the pixels that the model reads, nothing else.

        It is there when the future is done, which holds the ImageError of what is no picture.
        """
        return self._kept(PICTURE, self._write, data)

    def keep_whole(self, data: bytes, ending: str) -> tuple[str, Future[None]]:
        """Path of a file with just these bytes, under a name of ours with that ending; it is there as in `keep`.

        For tables of posts and zips of pictures, which are read once and then dropped.
        """
        return self._kept(ending, lambda path, content: Path(path).write_bytes(content), data)

    def _kept(self, ending: str, write: Callable[[str, bytes], object], data: bytes) -> tuple[str, Future[None]]:
        path = str(Path(get_upload_folder()).resolve() / f"{secrets.token_hex(16)}{ending}")

        def written() -> None:
            write(path, data)

        ready = self._decoder.submit(written)
        with self._lock:
            # As pixels a small file may be larger.
            self._uploads[path] = Upload(ready, max(len(data), PIXELS))
        return path, ready

    @property
    def full(self) -> bool:
        """Whether as much is kept, or still to be decoded, as may be."""
        with self._lock:
            return sum(upload.size for upload in self._uploads.values()) >= MOST_KEPT

    def _write(self, path: str, data: bytes) -> None:
        if len(data) > LARGE:
            # Not on top of what the last answer has left, which goes back in a moment.
            release()
        # BMP: all browsers show it, it loses nothing, and it costs a hundredth of PNG's time.
        with released():
            load_image(data).save(path)

    def wait(self, path: str) -> None:
        """Return when a file is ready. Raises ImageError for what is no picture."""
        upload = self._uploads.get(path)
        if upload is not None:
            upload.ready.result()

    def holds(self, path: object) -> bool:
        """Whether this is a file that a visitor brought."""
        return str(path) in self._uploads

    def remember(self, path: str | None, request: gr.Request) -> None:
        """Note that this session has uploaded `path`, in the place of what it had of that kind."""
        if path and request.session_hash:
            self.forgetting(Path(path).suffix)(request)
            with self._lock:
                if path in self._uploads:
                    self._uploads[path] = self._uploads[path]._replace(session=request.session_hash)

    def arrived(self, path: str | None, request: gr.Request) -> Any:
        """Note whose a picture is; one that cannot be read leaves its field again, and why is said at once."""
        self.remember(path, request)
        try:
            self.wait(path or "")
        except ImageError as error:
            self.drop(path)
            gr.Warning(str(error))
            return None
        return gr.skip()

    def forgetting(self, ending: str) -> Callable[[gr.Request], None]:
        """A handler that deletes the file of a session with this ending."""

        def forget(request: gr.Request) -> None:
            self.forget(request, ending)

        return forget

    def forget(self, request: gr.Request, ending: str = "") -> None:
        """Delete the files of a session, all of them or those with this ending."""
        with self._lock:
            mine = [path for path, upload in self._uploads.items() if upload.session == (request.session_hash or None)]
        for path in mine:
            if path.endswith(ending):
                self.drop(path)

    def expire(self, path: str) -> None:
        """Delete a file unless it belongs to a session."""
        upload = self._uploads.get(path)
        if upload is not None and not upload.session:
            self.drop(path)

    def drop(self, path: str | None) -> None:
        """Delete a file that a visitor brought, once it is there; any other is left alone."""
        with self._lock:
            upload = self._uploads.pop(path or "", None)
        if upload is not None and path is not None:
            upload.ready.add_done_callback(lambda _: _unlink(path))


def _unlink(path: str) -> None:
    with suppress(OSError):
        Path(path).unlink(missing_ok=True)


# One a process, as is the folder that they lie in.
UPLOADS = Uploads()
