"""The library: posts in, predictions and reasons out. Start at `engine.predictor.Predictor` and `engine.posts.Post`."""

from engine import memory, threads

# Here, because it counts only before torch is loaded, and before there are threads.
threads.environment()
memory.configure()
