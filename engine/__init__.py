"""The library: posts in, predictions and reasons out. Start at `engine.predictor.Predictor` and `engine.posts.Post`."""

from engine import threads

# Here, because it counts only before torch is loaded.
threads.environment()
