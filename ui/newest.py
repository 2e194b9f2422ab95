"""What a page asked for and shows last, so that nothing slow lands beside what came after it."""

import weakref

from engine.posts import Post

# JavaScript; the last input is the moment.
NOW = "(...asked) => [...asked.slice(0, -1), performance.now()]"


class Newest:
    """Of one session: when its page last asked or was emptied, and of which draft the verdict is that it shows.

    It keeps no draft: others do, for as long as they may.
    """

    def __init__(self) -> None:
        self._moment = 0.0
        self._shown: weakref.ref[Post] | None = None

    def overtakes(self, moment: float) -> bool:
        """Whether anything came after what the page asked for at this moment, which counts from now on.

        In milliseconds since the page was opened.
        """
        self._moment = max(self._moment, moment)
        return moment < self._moment

    @property
    def asked(self) -> bool:
        """Whether the page has asked for anything yet."""
        return self._moment > 0

    def show(self, draft: Post | None) -> None:
        """From now on the page shows the verdict of this draft, or none."""
        self._shown = weakref.ref(draft) if draft else None

    def left(self, draft: Post) -> bool:
        """Whether the page shows another verdict than that of this very draft."""
        return self._shown is None or self._shown() is not draft
