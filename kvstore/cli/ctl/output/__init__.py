"""Replies as text: one function per format, all over the protobuf reply. Pure.

etcdctl prints Go structures; where these are not simply the messages (leases, watch responses,
endpoint lists), the shape is given in `shapes`.
"""
