"""Where the price of a token changes."""

LONG = 200_000
"""Input tokens of one request above which some models charge all of its tokens at a higher rate."""
