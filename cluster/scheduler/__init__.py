"""Chooses a node for each pod that has none: kube-scheduler's default profile.

    pod_info, node_info    what the rules ask of pods and nodes, read once; the snapshot of all
    filters                may this pod run there, and if not, why: one function a rule
    affinity, spread       the two rules that look at other pods
    scores                 where would it be best
    preemption             whose end would make room
    decision               all of it for one pod: the same snapshot gives the same feasible set
    cache                  nodes with their pods, kept as changes come: snapshots cost what changed
    queue                  who is next, who waits and for what
    scheduler              the shell: informers in, bindings, conditions and events out

Invariants
- A decision looks at one snapshot, in which pods that are bound, but not seen so yet, count where
  they were assumed. So two pods never take the same room.
- A pod that found no node waits until something changed that could help it, and at most five
  minutes.
"""
