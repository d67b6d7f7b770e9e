"""Pipelines: how their stages are made, begun, and told of."""
