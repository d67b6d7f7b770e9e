"""Whether an answer that ended well is what was asked for: it fits its schema, and belongs to its request."""
