"""What Gradio leaves out for every session and call."""

import gradio as gr
from gradio.state_holder import SessionState, StateHolder

from tests.app_page import program
from ui import sessions  # noqa: F401


def test_a_call_copies_no_settings_and_sums_up_no_earlier_ones() -> None:
    with gr.Blocks() as demo:
        field, shown = gr.Textbox(), gr.Textbox()
        shout = gr.Button().click(lambda text: gr.update(value=text.upper()), field, field, api_name="shout")
        shout.then(lambda text: gr.update(visible=text == "B"), field, shown, api_name="show")
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    client = program(address)
    try:
        assert [client.predict(text, api_name="/shout")["value"] for text in "ab"] == ["A", "B"]
        assert client.predict("B", api_name="/show")["visible"] is True
        (session,) = demo.state_holder.session_data.values()
        # No settings, but of what was updated, and nothing of what a visitor typed.
        assert "b" not in str([config["props"].get("value") for config in session.config_values.values()])
        assert {config["type"] for config in session.config_values.values()} <= {"textbox"}
        assert demo._queue.cached_event_analytics_summary == {"functions": {}}
    finally:
        client.close()
        demo.close(verbose=False)


def test_programs_do_not_crowd_out_who_is_reading() -> None:
    with gr.Blocks() as demo:
        kept = gr.State(0)
    holder = StateHolder()
    holder.set_blocks(demo)
    holder.capacity = 3
    for name in ("reader", "another"):
        assert isinstance(holder[name], SessionState) and holder[name][kept._id] == 0
    for call in range(5):
        holder[f"call {call}"]
    assert list(holder.session_data) == ["reader", "another", "call 4"] == list(holder.time_last_used)
    # Where all hold something, the one that was used longest ago goes.
    for name in ("reader", "third", "fourth"):
        holder[name][kept._id]
    assert list(holder.session_data) == ["reader", "third", "fourth"]
