"""Errors whose message is one sentence for the user: what was wrong, and what to do."""


class FirstImpressionsError(Exception):
    """Base of every error this project raises on purpose; its text may be shown to a user as it is."""


class PostError(FirstImpressionsError):
    """A post cannot be predicted: nothing in it, or a text beyond its limit."""


class ImageError(PostError):
    """A picture cannot be used: not a picture, broken, or beyond the limits of `engine.images`."""


class BundleError(FirstImpressionsError):
    """A bundle is missing, incomplete, changed, or of another format."""


class EncoderError(FirstImpressionsError):
    """An encoder's weights cannot be loaded here."""


class DataError(FirstImpressionsError):
    """A dataset, table or work folder does not hold what a step needs."""
