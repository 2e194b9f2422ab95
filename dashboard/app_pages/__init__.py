"""The pages of the dashboard: one page, one question. Each names the tables it needs and is left out without them."""
