"""A Kubernetes API server: stateless, over the store or a real etcd; several may run side by side.

A request goes down this list, and each step is a file or folder:

    routes          a path and a method are a `RequestInfo`: verb, resource, namespace, name
    authentication  who asks: certificate, token, nobody; then whom they impersonate
    authorization   may they: RBAC
    bodies          bytes to an object: JSON, YAML, protobuf; what the client accepts
    registry/       the verbs, once for all kinds; a kind is a `Resource` (data, in `catalogue`)
                    and, where it is special, a `Strategy` of hooks in `registry/strategies`
    admission/      what changes or refuses an object on its way in
    storage         transactions on etcd keys; the only importer of `kvstore.client`
    watch_cache     every object of a resource as of one revision, and who is told of changes

Invariants
- An object is JSON under etcd's key layout of kube-apiserver, without its resourceVersion: that is
  the key's mod_revision. A write is one transaction that compares it.
- The cache is never ahead of the store and never skips a revision. A list that must be recent asks
  the store for its revision, waits until the cache is there, and is answered from memory.
- An object in the cache is shared and never changed; who wants to change one decodes its own copy.
- A watcher is told every change of what it selects, once, in order. One that cannot keep up is cut
  off and comes back with its resourceVersion.
- Errors are `ApiError`s, raised where the reason is known and written as a Status in one place.
"""
