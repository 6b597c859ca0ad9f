"""Rows of trading and risk, as drafts. Each module reads its rows in a fixed number of queries and knows no wording."""
