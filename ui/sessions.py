"""What Gradio works out anew for every session and after every call, left out where this page has no use for it.

A program's call is a session of its own: both together took longer than half a prediction.
"""

import os
import sys
from types import SimpleNamespace

from gradio.blocks import Blocks
from gradio.state_holder import SessionState, StateHolder

# Each may hold one picture of up to four megabytes.
SESSIONS = 64
# How long all calls so far took, for a monitoring page that is not offered. Read when the queue is made.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(sys.maxsize))

_begin = SessionState.__init__


def begin(self: SessionState, blocks: Blocks) -> None:
    """A session without the settings of every component."""
    _begin(self, SimpleNamespace(default_config=blocks.default_config, blocks=()))  # type: ignore[arg-type]


def keep_nothing(self: SessionState, *_: object) -> None:
    """Nor with what each was given: of both, links to a draft would be made, which `Arrivals` closes."""


def make_room(self: StateHolder, session_id: str) -> None:
    """Of more sessions than there is room for the oldest goes that holds nothing, as programs' do; then the oldest."""
    with self.lock:
        if session_id in self.session_data:
            self.session_data.move_to_end(session_id)
        if len(self.session_data) > self.capacity:
            oldest = next(iter(self.session_data))
            others = (name for name, held in self.session_data.items() if not held.state_data and name != session_id)
            gone = next(others, oldest)
            del self.session_data[gone]
            self.time_last_used.pop(gone, None)


StateHolder.update = make_room  # type: ignore[method-assign]
SessionState.__init__ = begin  # type: ignore[method-assign]
SessionState._update_config = keep_nothing  # type: ignore[assignment, method-assign]
SessionState._update_value_in_config = keep_nothing  # type: ignore[assignment, method-assign]
