"""Holds the files of deploy/ against what they are about: every name that one of them uses has to be there, in them, in the settings'
table, in the API's document or in the list of metrics. Schemas are other tools' business; scripts/lint-deploy runs them and this.

    check.py FOLDER    a copy of the repository with FOLDER/built/*.yaml, what kustomize makes of each overlay
"""

import pathlib
import re
import sys

import yaml

GRACE_AFTER = 3  # seconds that a node gives handlers that do not stop
ROLES = {"api", "scheduler", "worker", "notifier"}


class Repository:
    """What is known outside of deploy/."""

    def __init__(self, root: pathlib.Path):
        self.root = root
        table = self.text("docs/configuration.md")
        rows = re.findall(r"^\| `([\w.]+)`[^|]*\| ((?:`\w+` ?)+)\|[^|]*\| ?(.*?) ?\|", table, re.M)
        self.settings = {key for key, _, _ in rows}
        self.variables = {name for _, names, _ in rows for name in re.findall(r"`(\w+)`", names)}
        self.defaults = {key: value.strip("`") for key, _, value in rows}
        self.routes = set(re.findall(r"^  (/[^:\s]*):", self.text("docs/api/openapi.yaml"), re.M))
        pages = [root / "docs/operations.md", *(root / "docs/operations").glob("*.md")]
        self.metrics = set(re.findall(r"\bmartlet_\w+", "\n".join(page.read_text() for page in pages)))
        docker = self.text("deploy/Dockerfile")
        self.user = int(re.search(r"^USER (\d+):\d+$", docker, re.M).group(1))
        self.swift = re.search(r"^ARG SWIFT_IMAGE=(\S+)", docker, re.M).group(1)
        self.docker = docker

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def yaml(self, path: str):
        return yaml.safe_load(self.text(path))


class Checks:
    def __init__(self, repository: Repository):
        self.repository = repository
        self.faults: list[str] = []
        self.place = ""

    def expect(self, holds, fault: str) -> None:
        if not holds:
            self.faults.append(f"{self.place}: {fault}")

    # Settings

    def variable(self, name: str) -> None:
        if name.startswith("MARTLET_") and name != "MARTLET_CONFIG_FILE":
            self.expect(name in self.repository.variables, f"{name} is no setting")

    def configuration(self, document: dict, path: str = "") -> dict:
        """All settings of a martlet.yaml by their names."""
        found = {}
        for key, value in document.items():
            name = f"{path}.{key}" if path else key
            if isinstance(value, dict):
                found |= self.configuration(value, name)
            else:
                self.expect(name in self.repository.settings, f"{name} is no setting")
                found[name] = value
        return found

    def grace(self, configuration: dict) -> float:
        default = self.repository.defaults["workers.shutdownGraceSeconds"]
        return float(configuration.get("workers.shutdownGraceSeconds", default))

    def image(self, name: str) -> None:
        tag = name.rpartition("/")[2].partition(":")[2]
        self.expect("@sha256:" in name or (tag and tag != "latest"), f"the image {name} has no version")

    # Kubernetes

    def overlay(self, name: str, overlay: "Overlay") -> None:
        self.place = name
        for kind, other, count in overlay.doubles():
            self.expect(False, f"{kind} {other} is there {count} times")
        for document in overlay.documents:
            self.place = f"{name}: {document['kind']} {document['metadata']['name']}"
            if document["kind"] != "Namespace":
                self.expect(document["metadata"].get("namespace") == "martlet", "is not in the namespace martlet")
            check = getattr(self, f"check_{document['kind']}", None)
            if check: check(document, overlay)
        self.place = name
        roles = [role for pod in overlay.pods.values() for role in pod.roles()]
        self.expect(set(roles) == ROLES, f"the roles of its nodes are {sorted(roles)}")

    def check_Deployment(self, document: dict, overlay: "Overlay") -> None:
        pod = overlay.pods[document["kind"], document["metadata"]["name"]]
        spec = pod.spec
        self.expect(selects(document["spec"]["selector"], pod.labels), "does not select its own pods")
        self.expect(spec.get("enableServiceLinks") is False, "has service links: variables of Services among a node's own")
        self.expect(spec.get("automountServiceAccountToken") is False, "mounts a token")
        self.restricted(spec)
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        volumes |= {claim["metadata"]["name"]: {} for claim in document["spec"].get("volumeClaimTemplates", [])}
        mounted = {mount["name"] for container in spec["containers"] for mount in container.get("volumeMounts", [])}
        self.expect(mounted == set(volumes), f"mounts {sorted(mounted)} and has the volumes {sorted(volumes)}")
        for volume in volumes.values():
            sources = [volume, *volume.get("projected", {}).get("sources", [])]
            for source in sources:
                if "configMap" in source:
                    items = [item["key"] for item in source["configMap"].get("items", [])]
                    self.config_map(source["configMap"]["name"], items, overlay)
        for container in spec["containers"]:
            self.container(container, pod, overlay)
        if document["kind"] == "StatefulSet":
            service = overlay.get("Service", document["spec"]["serviceName"])
            self.expect(service, f"there is no Service {document['spec']['serviceName']}")

    check_StatefulSet = check_Deployment

    def restricted(self, spec: dict) -> None:
        context = spec.get("securityContext", {})
        self.expect(context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0, "may run as root")
        self.expect(context.get("seccompProfile", {}).get("type") == "RuntimeDefault", "has no seccomp profile")
        for container in spec["containers"]:
            context = container.get("securityContext", {})
            self.expect(context.get("allowPrivilegeEscalation") is False, "may get more rights")
            self.expect(context.get("capabilities") == {"drop": ["ALL"]}, "keeps capabilities")
            self.expect("memory" in container.get("resources", {}).get("limits", {}), "has no limit of memory")
            self.expect("cpu" in container.get("resources", {}).get("requests", {}), "asks for no CPU")

    def container(self, container: dict, pod: "Pod", overlay: "Overlay") -> None:
        self.image(container["image"])
        before = set()
        for entry in container.get("env", []):
            self.variable(entry["name"])
            used = re.findall(r"\$\((\w+)\)", entry.get("value", ""))
            self.expect(before.issuperset(used), f"{entry['name']} uses {used}, which do not stand before it")
            before.add(entry["name"])
            source = entry.get("valueFrom", {}).get("secretKeyRef")
            self.expect(not ("value" in entry and source), f"{entry['name']} has a value and a source")
            if source: self.secret(source, overlay)
        for argument in container.get("args", []):
            used = re.findall(r"\$\((\w+)\)", argument)
            self.expect(before.issuperset(used), f"an argument uses {used}, which are no variables")
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(kind, {})
            port = (probe.get("httpGet") or probe.get("tcpSocket") or {}).get("port")
            self.expect(port is None or port in pod.ports, f"the {kind} asks at the port {port}, which is not there")
        self.expect("readinessProbe" in container and "livenessProbe" in container, "has no probes")
        if pod.labels.get("app.kubernetes.io/name") == "martlet": self.node(container, pod, overlay)

    def node(self, container: dict, pod: "Pod", overlay: "Overlay") -> None:
        spec = pod.spec
        self.expect(spec["securityContext"]["runAsUser"] == self.repository.user, "runs as another user than the image's")
        self.expect(container["securityContext"].get("readOnlyRootFilesystem") is True, "can write its root")
        self.expect(ROLES.issuperset(pod.roles()) and pod.roles(), f"has the roles {pod.roles()}")
        for kind, path in (("startup", "live"), ("liveness", "live"), ("readiness", "ready")):
            found = container[f"{kind}Probe"]["httpGet"]["path"]
            self.expect(found == f"/health/{path}" and found in self.repository.routes, f"its {kind} probe asks for {found}")
        name = spec["volumes"][0]["configMap"]["name"]
        document = overlay.get("ConfigMap", name)
        configuration = self.configuration(yaml.safe_load((document or {}).get("data", {}).get("martlet.yaml", "{}")))
        mount = container["volumeMounts"][0]["mountPath"]
        self.expect(f"MARTLET_CONFIG_FILE={mount}/martlet.yaml" in self.repository.docker, f"does not read {mount}/martlet.yaml")
        sleep = float(container["lifecycle"]["preStop"]["exec"]["command"][-1])
        needed = sleep + self.grace(configuration) + GRACE_AFTER
        self.expect(spec["terminationGracePeriodSeconds"] > needed, f"is killed before {needed} seconds have passed")
        listening = {int(configuration.get("telemetry.metricsPort", 0))}
        if "api" in pod.roles(): listening.add(int(configuration.get("server.port", self.repository.defaults["server.port"])))
        self.expect(set(pod.ports.values()) == listening - {0}, f"names the ports {pod.ports} and listens at {listening}")
        self.expect(any(key.startswith("auth.") for key in configuration), "has no auth, so that it would not start")

    def config_map(self, name: str, keys: list[str], overlay: "Overlay") -> None:
        found = overlay.get("ConfigMap", name)
        self.expect(found, f"there is no ConfigMap {name}")
        for key in keys if found else []:
            self.expect(key in found["data"], f"the ConfigMap {name} has no {key}")

    def secret(self, source: dict, overlay: "Overlay") -> None:
        found = overlay.get("Secret", source["name"])
        keys = found["data"] if found else overlay.outside_secrets.get(source["name"])
        self.expect(keys is not None, f"there is no Secret {source['name']}")
        self.expect(source["key"] in (keys or {}) or source.get("optional"), f"the Secret has no {source['key']}")

    def check_Service(self, document: dict, overlay: "Overlay") -> None:
        pods = [pod for pod in overlay.pods.values() if selects({"matchLabels": document["spec"]["selector"]}, pod.labels)]
        self.expect(pods, "selects no pods")
        for port in document["spec"]["ports"]:
            missing = [pod.name for pod in pods if port["targetPort"] not in pod.ports]
            self.expect(not missing, f"the port {port['targetPort']} is not there in {missing}")

    def check_PodDisruptionBudget(self, document: dict, overlay: "Overlay") -> None:
        pods = [pod for pod in overlay.pods.values() if selects(document["spec"]["selector"], pod.labels)]
        self.expect(len(pods) == 1, f"selects {[pod.name for pod in pods]}")

    def check_NetworkPolicy(self, document: dict, overlay: "Overlay") -> None:
        def chosen(selector: dict) -> list:
            return [pod for pod in overlay.pods.values() if selects(selector, pod.labels)]

        spec = document["spec"]
        own = chosen(spec["podSelector"])
        self.expect(own, "is about no pods")
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction, []):
                ports = [port["port"] for port in rule.get("ports", [])]
                inside = [peer["podSelector"] for peer in rule.get(peers, []) if set(peer) == {"podSelector"}]
                others = [pod for selector in inside for pod in chosen(selector)]
                self.expect(others or not inside, f"knows no pods of its {direction}")
                # Whose port it is.
                for port in ports:
                    for pod in own if direction == "ingress" else others:
                        is_there = port in pod.ports or port in pod.ports.values()
                        self.expect(is_there, f"{pod.name} has no port {port}")

    def check_HorizontalPodAutoscaler(self, document: dict, overlay: "Overlay") -> None:
        target = document["spec"]["scaleTargetRef"]
        found = overlay.get(target["kind"], target["name"])
        self.expect(found, f"there is no {target['kind']} {target['name']}")
        self.expect(found and "replicas" not in found["spec"], "its target says itself how many there are")
        values = self.repository.yaml("deploy/kubernetes/components/autoscaling/prometheus-adapter.yaml")
        rules = {rule["name"]["as"]: rule for rule in values["rules"]["external"]}
        for metric in document["spec"]["metrics"]:
            name = metric["external"]["metric"]["name"]
            self.expect(name in rules, f"the adapter has no {name}")
        for rule in rules.values():
            for series in re.findall(r"\bmartlet_\w+", f"{rule['seriesQuery']} {rule['metricsQuery']}"):
                self.expect(series in self.repository.metrics, f"the adapter asks for {series}, which no node tells")

    def check_Ingress(self, document: dict, overlay: "Overlay") -> None:
        for rule in document["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                found = overlay.get("Service", service["name"])
                names = [port["name"] for port in found["spec"]["ports"]] if found else []
                self.expect(service["port"]["name"] in names, f"leads to {service}, which is not there")

    # Compose

    def compose(self, document: dict, folder: pathlib.Path) -> None:
        self.place = "compose.yaml"
        services = document["services"]
        configuration = self.configuration(yaml.safe_load((folder / "compose/secrets/martlet.yaml").read_text()))
        for name in ("secrets", "configs"):
            for key, value in document[name].items():
                self.expect((folder / value["file"]).is_file(), f"{value['file']} is neither there nor made")
                used = [entry if isinstance(entry, str) else entry["source"]
                        for service in services.values() for entry in service.get(name, [])]
                self.expect(key in used, f"nobody uses {key} of {name}")
        for name, service in services.items():
            self.place = f"compose.yaml: {name}"
            self.image(re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", service["image"]))
            self.expect(service.get("restart"), "is not started again")
            self.expect("memory" in service["deploy"]["resources"]["limits"], "has no limit of memory")
            for variable in service.get("environment", {}): self.variable(variable)
            for port in service.get("ports", []):
                self.expect(port.startswith("127.0.0.1:"), f"publishes {port} to everybody")
            for other in service.get("depends_on", {}):
                self.expect("healthcheck" in services.get(other, {}), f"waits for {other}, which has no health check")
            for kind in ("secrets", "configs"):
                for entry in service.get(kind, []):
                    source = entry if isinstance(entry, str) else entry["source"]
                    self.expect(source in document[kind], f"there is no {source} among the {kind}")
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                is_there = source in document["volumes"] or (source.startswith("./") and (folder / source).is_dir())
                self.expect(is_there, f"there is no volume {source}")
            self.expect(set(service["networks"]) <= set(document["networks"]), "is in a network that is not there")
            if name.startswith("node-"):
                self.expect(service.get("read_only") and service.get("cap_drop") == ["ALL"], "may more than it needs")
                grace = float(service["stop_grace_period"].removesuffix("s"))
                self.expect(grace > self.grace(configuration) + GRACE_AFTER, "is killed while it drains")
                self.expect("auth.bootstrapKey" in configuration, "nobody could make the first key")
        self.place = "compose.yaml"
        for key, service in (("database.url", "postgres"), ("redis.url", "redis"), ("events.rabbitmq.url", "rabbitmq")):
            self.expect(f"@{service}:" in configuration[key] and service in services, f"{key} does not lead to {service}")
        targets = self.repository.yaml("deploy/compose/prometheus.yaml")["scrape_configs"][0]["static_configs"][0]["targets"]
        nodes = [f"{name}:{self.repository.defaults['server.port']}" for name in services if name.startswith("node-")]
        self.expect(targets == nodes and len(nodes) == 2, f"Prometheus asks {targets}, and the nodes are {nodes}")

    # The rest

    def unit(self, text: str) -> None:
        self.place = "martlet.service"
        for name in re.findall(r"^Environment=(\w+)=", text, re.M): self.variable(name)
        stop = float(re.search(r"^TimeoutStopSec=(\d+)s$", text, re.M).group(1))
        self.expect(stop > self.grace({}) + GRACE_AFTER, "is killed while it drains")

    def dockerfile(self) -> None:
        self.place = "Dockerfile"
        page = re.search(r"The program needs the libraries (.*?) where it runs", self.repository.text("docs/operations.md"), re.S)
        libraries = set(re.findall(r"`(lib[^`]+)`", page.group(1)))
        runtime = self.repository.docker.split("FROM ${SWIFT_IMAGE}")[0]
        installed = set(re.findall(r"\blib[\w.+-]*\d\b", runtime))
        self.expect(installed == libraries, f"has {sorted(installed)}; docs/operations.md names {sorted(libraries)}")
        self.configuration(self.repository.yaml("deploy/martlet.yaml"))
        self.expect(f"current = \"{re.search(r'ARG VERSION=(.*)', runtime + self.repository.docker).group(1)}\""
                    in self.repository.text("Sources/Martlet/Version.swift"), "VERSION is not that of the program")
        self.place = "ci.yml"
        container = self.repository.yaml(".github/workflows/ci.yml")["jobs"]["check"]["container"]["image"]
        self.expect(container == self.repository.swift, f"tests on {container}, and the image is built on {self.repository.swift}")


class Overlay:
    """What kustomize has made."""

    def __init__(self, documents: list[dict], outside_secrets: dict[str, dict]):
        self.documents = documents
        # By name, the keys of Secrets that somebody else makes.
        self.outside_secrets = outside_secrets
        self.pods = {(document["kind"], document["metadata"]["name"]): Pod(document)
                     for document in documents if document["kind"] in ("Deployment", "StatefulSet")}

    def get(self, kind: str, name: str):
        return next((document for document in self.documents
                     if (document["kind"], document["metadata"]["name"]) == (kind, name)), None)

    def doubles(self) -> list:
        names = [(document["kind"], document["metadata"]["name"]) for document in self.documents]
        return [(*name, names.count(name)) for name in sorted(set(names)) if names.count(name) > 1]


class Pod:
    def __init__(self, document: dict):
        self.name = document["metadata"]["name"]
        self.labels = document["spec"]["template"]["metadata"]["labels"]
        self.spec = document["spec"]["template"]["spec"]
        self.ports = {port["name"]: port["containerPort"]
                      for container in self.spec["containers"] for port in container.get("ports", [])}

    def roles(self) -> list[str]:
        arguments = self.spec["containers"][0].get("args", [])
        return arguments[arguments.index("--roles") + 1].split(",") if "--roles" in arguments else []


def selects(selector: dict, labels: dict) -> bool:
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()): return False
    return all(labels.get(expression["key"]) in expression["values"] for expression in selector.get("matchExpressions", []))


def main() -> None:
    root = pathlib.Path(sys.argv[1])
    checks = Checks(Repository(root))
    example = checks.repository.yaml("deploy/kubernetes/overlays/production/secret.example.yaml")
    for path in sorted((root / "built").glob("*.yaml")):
        documents = [document for document in yaml.safe_load_all(path.read_text()) if document]
        # Production's Secret is somebody else's to make.
        outside = {example["metadata"]["name"]: example["stringData"]} if path.stem.startswith("production") else {}
        checks.overlay(path.stem, Overlay(documents, outside))
    checks.compose(checks.repository.yaml("deploy/compose.yaml"), root / "deploy")
    checks.unit(checks.repository.text("deploy/systemd/martlet.service"))
    checks.dockerfile()
    for fault in checks.faults:
        print(fault, file=sys.stderr)
    sys.exit(1 if checks.faults else 0)


if __name__ == "__main__":
    main()
