"""What a local cluster is made of beside the store's members: keys, kubeconfigs, processes.

`pki` makes the authority and the certificates, `kubeconfig` reads, merges and writes the files that
clients use, `processes` says which programs run beside the members and with which flags.
"""
