"""How many tokens a request will cost, counted offline and sent nowhere.

Text is counted by words and runs, media by the rules of the model's generation, declarations by what was seen. The
coefficients, their date and their source stand in `tokens.toml`; `python -m tests.benchmarks.fit_tokens` writes it.
"""
