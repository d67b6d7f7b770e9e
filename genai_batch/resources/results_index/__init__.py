"""The index of a job's results: from a key to its row, its outcome, its tokens and its cost, without reading the rows.

`build` makes it of `requests.jsonl` and `results.jsonl`, in one pass over each, as a SQLite file that `schema.sql` and
docs/files.md describe; `query` answers from it. The same rows in any order within an attempt give the same index.
"""
