"""What every other package may use: identities, errors, limits, and the doors to time and chance.

Imports nothing of ours. `clock` and `entropy` are the only doors to time and randomness, so that a
simulation can own both; `failpoint` marks each durable step, so that a test can stop there.
"""
