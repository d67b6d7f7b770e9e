"""Bulk generation with Gemini: requests in as JSONL, one job, every answer an MCP resource."""

__version__ = "0.1.0"
