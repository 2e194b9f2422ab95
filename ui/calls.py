"""Calls without a client library, as Gradio takes them and as "Use via API" shows them, mended."""

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio import routes

NO_FILE = "The picture is given as text; give a file, as handle_file(path) of gradio_client makes one."


def lenient(demo: gr.Blocks) -> None:
    """Have calls without a client library leave out the last fields of an endpoint, which then are as they stand.

    Such a call gives its fields in order, and Gradio would refuse one that was written before a field was added. A
    picture that is a text gets a sentence, none where it is empty.
    """
    check = demo.validate_inputs

    def filled(block_fn: Any, inputs: list[Any]) -> None:
        if block_fn.api_visibility == "public":
            inputs += [field.value for field in block_fn.inputs[len(inputs) :]]
            for place, field in enumerate(block_fn.inputs):
                if isinstance(field, gr.Image) and isinstance(inputs[place], str):
                    if inputs[place]:
                        raise gr.Error(NO_FILE, print_exception=False)
                    inputs[place] = None
        check(block_fn, inputs)

    demo.validate_inputs = filled  # type: ignore[method-assign]


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
