"""Ordered trees of bytes with snapshots and one writer, behind the `Backend` port."""
