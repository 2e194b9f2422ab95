"""The endpoints as tools of an MCP server: an extra (requirements-mcp.txt), on where GRADIO_MCP_SERVER is true.

Gradio's own server would write pictures that come inside a call to the disk as they are and leave them there, answer in
Python's notation, and call back whatever host its first request names.
"""

import json
import logging
import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import gradio.mcp
from gradio.route_utils import API_PREFIX

from engine.errors import ImageError
from engine.previews import file_of
from ui.arrivals import admit
from ui.uploads import UPLOADS

if TYPE_CHECKING:
    from gradio.blocks import BlockFunction

VARIABLE = "GRADIO_MCP_SERVER"
MISSING = f"{VARIABLE} asks for tools over MCP; run pip install -r requirements-mcp.txt. Until then there are none."
NO_PICTURE = (
    "Give the picture as a data URL (data:image/png;base64,…), or the address that an upload to this page gave."
)
NO_PICTURES = "Give the pictures as a list, each as a data URL (data:image/png;base64,…)."
FIELDS = {
    "picture": "The post's picture as a data URL (data:image/png;base64,…), or the address that an upload to this page "
    "gave. Other addresses are not fetched.",
    "title": "The post's title.",
    "tags": "The post's tags, separated by commas; they count only where the model reads them.",
    "description": "The post's description; it counts only where the model reads it.",
    "titles": "A list of titles; each is tried with every picture.",
    "pictures": "A list of pictures, each as a data URL.",
    "drafts": "A list of drafts, each an object with title, tags, description, picture (a data URL) and context, as "
    "far as there.",
    "context": "When, where, by whom and as what the post is published, as far as known: an object with published_at, "
    "latitude, longitude, category, author.photo_count and the like. It counts only where the model reads it.",
    "method": "owen asks the whole model, integrated_gradients those of its members that have gradients.",
}

log = logging.getLogger("first_impressions.app")


class Tools(gradio.mcp.GradioMCPServer):
    """Gradio's server for MCP with our names, our pictures and JSON for answers."""

    @property
    def local_url(self) -> str:
        """This very server, whatever host a request names."""
        host = {"0.0.0.0": "127.0.0.1"}.get(self.blocks.server_name, self.blocks.server_name)
        return self._local_url or f"http://{host}:{self.blocks.server_port}/"

    def create_mcp_server(self) -> Any:
        """A server that leaves it to the endpoints to say what is wrong with a call: the stock one quotes all of it."""

        class Server(self.Server):  # type: ignore[misc, name-defined]
            def call_tool(self) -> Any:
                return super().call_tool(validate_input=False)

        self.Server = Server
        return super().create_mcp_server()

    def _prepare_tool_call_args(self, name: str, arguments: dict[str, Any]) -> Any:
        """The call as an endpoint takes it. Raises ValueError for a field that the tool lacks."""
        if name in self.tool_to_endpoint:
            fields = self.get_input_schema(name)[0]["properties"]
            if odd := sorted(set(arguments) - set(fields)):
                raise ValueError(f"This tool has no field {odd[0][:40]}; it has {', '.join(fields)}.")
        return super()._prepare_tool_call_args(name, arguments)

    def get_tool_to_endpoint(self) -> dict[str, str]:
        """Tools are called what the endpoints are called."""
        return {f"{self.tool_prefix}{name.lstrip('/')}": name for name in self.api_info["named_endpoints"]}

    def get_fn_description(self, block_fn: "BlockFunction", tool_name: str) -> tuple[str, dict[str, str]]:
        """What a tool does, and what each of its fields is."""
        description, parameters = super().get_fn_description(block_fn, tool_name)
        return description, parameters | {name: told for name, told in FIELDS.items() if name in parameters}

    def simplify_filedata_schema(self, schema: dict[str, Any]) -> tuple[dict[str, Any], list[list[str | int]]]:
        """Files as text, without Gradio's word that any web address will do."""
        simple, places = super().simplify_filedata_schema(schema)
        for name in {str(place[0]) for place in places}:
            field = simple["properties"][name]
            field.pop("format", None)
            if field["type"] == "array":
                # What Gradio's items refer to is not found from the whole schema.
                field.pop("$defs", None)
                field["items"] = {"type": "string"}
        return simple, places

    def convert_strings_to_filedata(self, value: Any, filedata_positions: list[list[str | int]]) -> Any:
        """The arguments as the endpoints take them. Raises ValueError for what is no picture of this page."""
        # A field of pictures has its place among the items.
        readers = {str(place[0]): pictures_of if len(place) > 1 else picture_of for place in filedata_positions}
        return {name: readers[name](given) if name in readers else given for name, given in value.items()}

    def postprocess_output_data(self, data: Any, root_url: str) -> list[Any]:
        """Answers as JSON, which every endpoint gives."""
        return [self.types.TextContent(type="text", text=json.dumps(answer, ensure_ascii=False)) for answer in data]


def pictures_of(given: Any) -> list[Mapping[str, str]]:
    """The pictures of a list without what is none. Raises ValueError for what is no such list."""
    if given is None or given == "":
        return []
    if not isinstance(given, list):
        raise ValueError(NO_PICTURES)
    return [kept for kept in map(picture_of, given) if kept]


def picture_of(given: Any) -> Mapping[str, str] | None:
    """A picture that came with a call, as the page's own form has it; None for none.

    It is kept like an upload: no metadata, a name of ours, deleted before the answer is sent.
    """
    if given is None or given == "":
        return None
    if not isinstance(given, str):
        raise ValueError(NO_PICTURE)
    _, found, path = given.partition(f"{API_PREFIX}/file=")
    if found and UPLOADS.holds(unquote(path)):
        return {"path": unquote(path)}
    try:
        return {"path": admit(file_of(given))[0]}
    except ValueError as error:
        raise ValueError(NO_PICTURE) from error
    except ImageError as error:
        raise ValueError(str(error)) from error


def tools_wanted() -> bool:
    """Whether the endpoints are to be tools too; where the extra is missing a sentence in the log says so."""
    if os.environ.get(VARIABLE, "").lower() not in ("1", "true"):
        return False
    if find_spec("mcp") is None:
        log.warning(MISSING)
        return False
    # Gradio makes its server of whatever class has this name.
    gradio.mcp.GradioMCPServer = Tools  # type: ignore[misc]
    return True
