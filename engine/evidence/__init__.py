"""The nearest real posts to a draft: an index that ships beside a bundle, and the search in it."""
