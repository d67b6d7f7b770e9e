"""The pass over a source before anything is sent, in pieces: read, match, parse, count, cut, copy."""
