"""Calls without a client library, as Gradio takes them and as "Use via API" shows them, mended."""

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio import routes
from gradio_client import utils

from engine.posts import HALF, SURROGATE
from ui.uploads import UPLOADS

ODD = "The call does not hold what is asked for; “Use via API” at the foot of the page shows one that does."


def lenient(demo: gr.Blocks) -> None:
    """Have calls without a client library leave out the last fields of an endpoint, which then are as they stand.

    Such a call gives its fields in order, and Gradio would refuse one that was written before a field was added. What
    it would raise for fields of another kind quotes the draft, and is logged: a sentence takes its place, and the files
    of the call are deleted. Of a file the fields themselves say where it may lie.
    """
    check, read = demo.validate_inputs, demo.preprocess_data

    def filled(block_fn: Any, inputs: list[Any]) -> None:
        if block_fn.api_visibility == "public":
            inputs += [field.value for field in block_fn.inputs[len(inputs) :]]
        inputs[:] = utils.traverse(inputs, unmarked, utils.is_file_obj_with_meta)
        check(block_fn, inputs)

    async def understood(block_fn: Any, inputs: list[Any], *rest: Any, **options: Any) -> list[Any]:
        try:
            if _torn(inputs):
                raise gr.Error(HALF, print_exception=False)
            return await read(block_fn, inputs, *rest, **options)
        except Exception as error:
            if block_fn.api_visibility == "public":
                utils.traverse(inputs, lambda file: UPLOADS.drop(file["path"]), utils.is_file_obj)
            if isinstance(error, gr.Error):
                raise
            raise gr.Error(ODD, print_exception=False) from None

    demo.validate_inputs = filled  # type: ignore[method-assign]
    demo.preprocess_data = understood  # type: ignore[method-assign]


def _torn(given: Any) -> bool:
    """Whether any name in a call holds half of a character: no sentence could quote it."""
    if isinstance(given, dict):
        return any(SURROGATE.search(str(name)) for name in given) or _torn(list(given.values()))
    return isinstance(given, list) and any(map(_torn, given))


def unmarked(file: dict[str, Any]) -> dict[str, Any]:
    """A file without the mark by which Gradio knows one."""
    return {name: value for name, value in file.items() if name != "meta"}


def runnable(generate: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    """Gradio's snippets with examples in the place of defaults, which for a draft are all empty."""

    def with_examples(api_name: str, endpoint_info: dict[str, Any], *rest: Any, **options: Any) -> dict[str, str]:
        parameters = [
            # No file is both here and with whoever reads this: the picture is none, and no upload either.
            field | ({"parameter_default": field["example_input"]} if field["example_input"] else {"component": ""})
            for field in endpoint_info["parameters"]
        ]
        snippets = generate(api_name, endpoint_info | {"parameters": parameters}, *rest, **options)
        # In Bash a variable read at the end of a pipe is gone after it.
        pipe = "| read EVENT_ID; curl -N "
        if pipe in snippets["bash"]:
            snippets["bash"] = snippets["bash"].replace(pipe, "| { read EVENT_ID; curl -N ") + "; }"
        return snippets

    return with_examples


if not hasattr(routes.generate_code_snippets, "shows_examples"):
    routes.generate_code_snippets = runnable(routes.generate_code_snippets)
    routes.generate_code_snippets.shows_examples = True  # type: ignore[attr-defined]
