"""What a page asked for last, so that a slow answer does not land beside what came after it."""


class Newest:
    """The last moment at which the page of a session asked or was emptied, in milliseconds since it was opened."""

    def __init__(self) -> None:
        self._moment = 0.0

    def overtakes(self, moment: float) -> bool:
        """Whether anything came after what the page asked for at this moment, which counts from now on."""
        self._moment = max(self._moment, moment)
        return moment < self._moment
