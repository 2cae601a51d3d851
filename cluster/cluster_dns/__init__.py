"""Cluster DNS: the names of Services and of the pods behind headless ones.

    zone     services and slices in, answers out, as Kubernetes' DNS specification 1.1 says; pure
    server   datagrams and connections in, answers out; dnspython reads and writes the messages

It answers for the cluster's domain alone. All other names it refuses (REFUSED), upon
which a resolver asks its next server: the kubelet names those of the machine after ours.
"""
