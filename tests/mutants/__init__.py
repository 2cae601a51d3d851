"""Planted bugs: each patch takes one fix away. `python -m tests.mutants.run` shows what notices.

The first line of a patch says what it takes away; `Test:` names the directed history that must fail
under it, `Seeds:` the simulated worlds of engines of which one must, and `Members:` those of whole
members.
"""
