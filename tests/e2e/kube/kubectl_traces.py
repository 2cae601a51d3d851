"""What people do with kubectl, command by command, and what it prints: read like a story."""

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: applied, labels: {app: web}}
data: {x: "1"}
---
apiVersion: v1
kind: Service
metadata: {name: applied, labels: {app: web}}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""
EVENT = """
apiVersion: v1
kind: Event
metadata: {name: happened}
involvedObject: {apiVersion: v1, kind: Pod, name: pod}
reason: Tried
message: it works
type: Normal
count: 1
"""
CHANGED = MANIFEST.replace('x: "1"', 'z: "2"')

# Each: the command, what is given on standard input, and a pattern that its output has to match.
TRACES: list[tuple[str, str, str]] = [
    ("version", "", r"Server Version: v1\.33\.0"),
    ("api-resources --api-group=apps", "", r"deployments +deploy +apps/v1 +true +Deployment"),
    ("api-versions", "", r"^apps/v1$"),
    ("explain pod.spec.containers.image", "", r"FIELD: image <string>"),
    ("create configmap made --from-literal=x=1", "", r"configmap/made created"),
    ("get configmap made -o yaml", "", r'data:\n  x: "1"\nkind: ConfigMap'),
    ("get configmap made -o jsonpath={.data.x}", "", r"^1$"),
    ("create configmap made", "", r'configmaps "made" already exists'),
    ("create deployment web --image=nginx --replicas=2", "", r"deployment.apps/web created"),
    ("get deployment web", "", r"NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +0/2 +0 +0 +\d+s"),
    ("get deployment web -o wide", "", r"CONTAINERS +IMAGES +SELECTOR\n.* nginx +nginx +app=web"),
    ("set image deployment/web nginx=nginx:2", "", r"deployment.apps/web image updated"),
    ("rollout pause deployment/web", "", r"deployment.apps/web paused"),
    ("rollout resume deployment/web", "", r"deployment.apps/web resumed"),
    ("rollout restart deployment/web", "", r"deployment.apps/web restarted"),
    ("scale deployment web --replicas=3", "", r"deployment.apps/web scaled"),
    ("get deployment web -o jsonpath={.spec.replicas},{.metadata.generation}", "", r"^3,6$"),
    ("expose deployment web --port=80", "", r"service/web exposed"),
    ("get service web", "", r"web +ClusterIP +10\.\d+\.\d+\.\d+ +<none> +80/TCP"),
    ("autoscale deployment web --min=1 --max=3", "", r"autoscaled"),
    ("label configmap made app=web", "", r"configmap/made labeled"),
    ("get configmaps -l app=web", "", r"made +1 +\d+s"),
    ("get configmaps --field-selector metadata.name=made -o name", "", r"^configmap/made$"),
    ("annotate configmap made why=test", "", r"configmap/made annotated"),
    ("patch configmap made -p {\"data\":{\"y\":\"2\"}}", "", r"configmap/made patched"),
    ("patch configmap made --type=json -p [{\"op\":\"remove\",\"path\":\"/data/y\"}]", "",
     r"configmap/made patched"),
    ("apply -f -", MANIFEST, r"configmap/applied created\nservice/applied created"),
    ("apply -f -", MANIFEST, r"configmap/applied unchanged\nservice/applied unchanged"),
    ("diff -f -", CHANGED, r"-  x: \"1\"\n\+  z: \"2\""),
    ("apply -f -", CHANGED, r"configmap/applied configured"),
    ("get configmap applied -o jsonpath={.data}", "", r'^\{"z":"2"\}$'),
    ("apply --server-side -f -", CHANGED, r"configmap/applied serverside-applied"),
    ("apply --server-side --field-manager=other -f -", MANIFEST.replace('"1"', '"9"'),
     r"configmap/applied serverside-applied"),
    ("apply --server-side --field-manager=third -f -", MANIFEST.replace('"1"', '"3"'),
     r'conflict with "other": \.data\.x'),
    ("apply --dry-run=server -f -", MANIFEST, r"\(server dry run\)"),
    ("create serviceaccount robot", "", r"serviceaccount/robot created"),
    ("create role r --verb=get --resource=pods", "", r"role.rbac.authorization.k8s.io/r created"),
    ("create secret generic s --from-literal=a=b", "", r"secret/s created"),
    ("create job j --image=busybox -- true", "", r"job.batch/j created"),
    ("create cronjob c --image=busybox --schedule=*/5_*_*_*_*", "", r"cronjob.batch/c created"),
    ("create quota q --hard=pods=10", "", r"resourcequota/q created"),
    ("create poddisruptionbudget p --selector=app=web --min-available=1", "", r"created"),
    ("create ingress i --rule=example.com/*=web:80", "", r"ingress.networking.k8s.io/i created"),
    ("get serviceaccounts", "", r"^default +0 +\d+s$"),
    ("run pod --image=nginx --restart=Never", "", r"^pod/pod created$"),
    ("get pod pod", "", r"NAME +READY +STATUS +RESTARTS +AGE\npod +0/1 +Pending +0 +\d+s"),
    ("get pod pod -o wide", "", r"NOMINATED NODE +READINESS GATES\npod .* <none> +<none> +<none>"),
    ("get pod pod -o name", "", r"^pod/pod$"),
    ("wait pod/pod --for=jsonpath={.status.phase}=Pending --timeout=30s", "", r"condition met"),
    ("wait pod/pod --for=condition=Ready --timeout=1s", "", r"timed out waiting for the condition"),
    ("get pods -w --request-timeout=2s", "", r"^pod +0/1 +Pending"),
    ("describe pod pod", "", r"Service Account: +default.*Image: +nginx"),
    ("apply -f -", EVENT, r"event/happened created"),
    ("events", "", r"LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n.*Normal +Tried +Pod/pod +it works"),
    ("events --for pod/pod --types=Warning", "", r"No events found"),
    ("get events", "", r"Normal +Tried +pod/pod +it works"),
    ("delete event happened", "", r'event "happened" deleted'),
    ("explain deployment.spec.strategy --recursive", "", r"rollingUpdate\t<RollingUpdateDep"),
    ("explain pods --api-version=v1", "", r"KIND: +Pod\nVERSION: +v1"),
    ("explain pod.spec.nothing", "", r'field "nothing" does not exist'),
    ("auth can-i --list", "", r"Resources +Non-Resource URLs +Resource Names +Verbs"),
    ("auth can-i list nothings", "", r"the server doesn't have a resource type 'nothings'"),
    ("auth whoami", "", r"Username +system:apiserver"),
    ("get all", "", r"service/web.*deployment.apps/web.*cronjob.batch/c.*job.batch/j"),
    ("auth can-i create pods", "", r"^yes$"),
    ("describe deployment web", "", r"Replicas: +3 desired"),
    ("delete pod pod --now", "", r'pod "pod" deleted'),
    ("delete job j --cascade=background", "", r'job.batch "j" deleted'),
    ("delete cronjob c --cascade=foreground --wait=false", "", r'cronjob.batch "c" deleted'),
    ("events", "", r"No events found"),
    ("delete configmap made", "", r'configmap "made" deleted'),
    ("get configmap made", "", r'Error from server \(NotFound\): configmaps "made" not found'),
    ("delete deployment web --cascade=orphan --wait=false", "", r'deployment.apps "web" deleted'),
    ("wait --for=delete service/none --timeout=5s", "", r"^$|not found"),
    ("delete service applied web", "", r'service "applied" deleted\nservice "web" deleted'),
]  # fmt: skip


def arguments(command: str) -> list[str]:
    """Return the words of a command; an underscore stands for a space within a word."""
    words = command.split()
    return [word.replace("_", " ") if word.startswith("--schedule") else word for word in words]
