"""The library: posts in, predictions and reasons out. `from engine import Post, Predictor, load_image`."""
