"""Seeds that once failed: every run begins with them.

A seed names a history only together with the dice that it is drawn with, so a change of a profile
or of a workload makes another one of it. What mattered has a directed test of its own.
"""

ENGINES = (5, 37)

MEMBERS = (
    4,  # a pause that grew longer turned the order of what waited: an end of a link after its begin
    12,  # a spare segment of the log was taken for one in use
)
