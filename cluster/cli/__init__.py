"""`kvstore kube`: kubeconfigs, the API server as a process, the history of objects.

Found by the entry-point group `kvstore.commands`. Flags in, printing out; no logic.
"""
