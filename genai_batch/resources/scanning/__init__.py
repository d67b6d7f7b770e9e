"""The scan of a source before anything is sent: read, judge, count, cut, copy."""
