"""The controllers of kube-controller-manager: each brings one kind of thing to the wanted state.

A controller is two parts. A *plan* is pure: what is and what should be go in, what to do comes out;
the same input gives the same plan. A *reconcile* carries the plan out, as often as asked. Time is
`now`, in seconds since 1970, where objects carry instants.

    ownership      whose is an object: claims, adoptions, releases, by controllerRef
    expectations   what was asked for and not yet seen; without it a slow watch makes pods twice
    pod_facts      what a pod's status says: active, ready, available
    pod_owner      what controllers that make pods share: claims, expectations, careful creating
    revisions      the templates that an owner had: ControllerRevisions
    replicas, replica_set              ReplicationController and ReplicaSet: one algorithm
    rollout, deployment                Deployment: which ReplicaSet grows, which shrinks
    stateful_plan, stateful_set        StatefulSet: names that stay, one pod after the other
    daemon_plan, daemon_set            DaemonSet: a pod a node
    job_plan, job                      Job: every pod's end counts once
    cron_plan, cron_job                CronJob: a Job a time; and Jobs that go after their end
    disruption, resource_quota         what may be evicted, and what is used
    account_tokens, slice_mirroring    Secrets with tokens; slices of Endpoints that somebody wrote
    service_endpoints, endpoints, endpoint_slices

Invariants
- Nothing is deleted or changed that is not owned by the controller's own object, by uid.
- A create or delete whose outcome is unknown is waited for: seen in the watch, or given up after
  five minutes, when the store is believed again.
- Status is written only if it differs.
"""
