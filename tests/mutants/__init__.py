"""Planted bugs: each patch takes one thing away. `python -m tests.mutants.run` shows what notices.

The first line of a patch says what it takes away; `Test:` names the directed tests that must fail
under it, and `Simulation:` the worlds (`engines` or whole `members`) of which one must. Patches
`f..` take one of the fixes to the consensus library away, `rule_..` one of the rules of
docs/safety_rules.md, `member_..` something else that members promise.
"""
