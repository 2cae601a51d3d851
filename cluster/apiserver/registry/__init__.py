"""The verbs, written once for all kinds.

    call       one request: which object, who, with which options
    strategy   what a kind does differently, as hooks; `strategies/` has one file a topic
    reading    get and list, from the cache or the store
    watching   a stream of changes, from the cache or the store's history
    writing    create and update: the one way an object is changed, again if somebody was faster
    patching   what a patch makes of an object
    deleting   delete: policies, finalizers, grace; deletecollection

What an object must look like is not known here but in `cluster.kube_api`.
"""
