"""Consensus on opaque bytes; knows nothing of keys."""
