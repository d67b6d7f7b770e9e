"""The index of a job's results: from a key to its row, its outcome, its tokens and its cost, without reading the rows.

`building` makes it of `requests.jsonl` and `results.jsonl`, in one pass over each; `pieces` keeps it in one file, whose
every piece is checked when it is read; `index` answers from it. The same rows in any order within an attempt give the
same index. A helping process loads this package, so it imports nothing here.
"""
