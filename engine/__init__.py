"""The library: posts in, predictions and reasons out. Start at `engine.predictor.Predictor` and `engine.posts.Post`."""
