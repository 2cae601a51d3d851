"""Makes the address of a Service lead to its endpoints, on one node.

    rules        services and their slices in, what listens where and leads whither out: pure
    relay        the data plane of a machine without privileges: sockets that pass bytes on
    proxy        the shell: informers in, rules to the data plane

The addresses of services are of the loopback range then, so that each of them can be listened on.

Invariants
- New connections go to endpoints that are ready; if none is, to those that still serve while they
  end; if there is none of these either, they are refused.
- A connection stays where it is, whatever becomes of the rules: it ends when one of its ends does.
"""
