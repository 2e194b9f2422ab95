"""The page on categories and likes: the third reference system, done right and as it was published."""
