"""The Kubernetes side: an API server over the store, and what runs it.

`kube_api` knows what objects are (pure), `apiserver` serves them over HTTP, `informer` is what all
its clients stand on: `controllers`, `scheduler`, `kubelet` and `kube_proxy`. `launcher` starts the
processes of a local cluster, `cli` is `kvstore kube`. The store does not know any of this; it is
met in two places: its client, in `apiserver/storage.py`, and its command line, in `launcher`.
"""
