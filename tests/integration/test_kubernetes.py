"""The manifests under deploy/kubernetes against Kubernetes' schemas, their promises and docker-compose.yml; no cluster."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.integration.kustomize import Document, is_named, render

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
BASE, GPU, REPORT = (render(FOLDER / name) for name in ("base", "gpu", "report"))
DATA = render(FOLDER / "data", BASE)
COMPOSE: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
VERSIONS = ("1.31", kubernetes_validate.latest_version())
"""Of Kubernetes: the oldest that docs/kubernetes.md names, and the newest that has a schema here."""


def find(documents: list[Document], kind: str, name: str) -> Document:
    (found,) = (document for document in documents if is_named(document, kind, name))
    return found


def pods() -> Iterator[tuple[str, Document, Document]]:
    """Each pod's label `app`, its spec, and each of its containers."""
    for document in [*DATA, *REPORT, find(GPU, "Deployment", "worker")]:
        template = document if document["kind"] == "Pod" else document.get("spec", {}).get("template")
        if template is not None:
            spec = template["spec"]
            for container in [*spec.get("initContainers", []), *spec["containers"]]:
                yield template["metadata"]["labels"]["app"], spec, container


PODS = list(pods())
NAMES = [f"{app}-{container['name']}" for app, _, container in PODS]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_its_schema(version: str) -> None:
    documents = [*DATA, *GPU, *REPORT]
    for number, document in enumerate(documents):
        if document not in documents[:number]:
            kubernetes_validate.validate(document, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    worker = find(BASE, "Deployment", "worker")
    with pytest.raises(kubernetes_validate.ValidationError, match="replicaz"):
        kubernetes_validate.validate(worker | {"spec": worker["spec"] | {"replicaz": 2}}, VERSIONS[-1], strict=True)


def test_every_file_belongs_to_a_kustomization() -> None:
    named = {folder / name for folder in FOLDER.iterdir() for name in _kustomization(folder).get("resources", [])}
    there = {file for file in FOLDER.rglob("*.yaml") if file.name != "kustomization.yaml"}
    assert {file for file in named if file.suffix} == there


def _kustomization(folder: Path) -> Document:
    found: Document = yaml.safe_load((folder / "kustomization.yaml").read_text())
    return found


@pytest.mark.parametrize(("app", "spec", "container"), PODS, ids=NAMES)
def test_every_container_runs_with_nothing_it_does_not_need(app: str, spec: Document, container: Document) -> None:
    pod, own = spec["securityContext"], container["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == pod["fsGroup"] == (999 if app == "redis" else 1000)
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert own["allowPrivilegeEscalation"] is False
    assert own["readOnlyRootFilesystem"] is True
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    for amounts in container["resources"]["requests"], container["resources"]["limits"]:
        assert {"cpu", "memory"} <= set(amounts)


@pytest.mark.parametrize(("app", "spec", "container"), PODS, ids=NAMES)
def test_every_name_that_a_pod_uses_is_there(app: str, spec: Document, container: Document) -> None:
    kinds = {"persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"), "configMap": ("ConfigMap", "name")}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    templates = find(BASE, "StatefulSet", "redis")["spec"]["volumeClaimTemplates"] if app == "redis" else []
    claimed = {template["metadata"]["name"] for template in templates}
    assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes) | claimed
    for volume in volumes.values():
        for field, (kind, key) in kinds.items():
            assert field not in volume or find(DATA, kind, volume[field][key])
        if "secret" in volume:
            assert f"generic {volume['secret']['secretName']} " in (ROOT / "docs" / "kubernetes.md").read_text()
    for source in container.get("envFrom", []):
        known = find(DATA, "ConfigMap", source["configMapRef"]["name"])["data"]
        assert set(re.findall(r"\$\((\w+)\)", " ".join(container.get("args", [])))) <= set(known)


def test_only_controller_and_workers_reach_the_server_and_nothing_else() -> None:
    apps = {app for app, _, _ in PODS}
    assert apps == {"redis", "controller", "worker", "data", "report"}
    assert {(a, b) for a in apps for b in apps if _reaches(a, b)} == {("controller", "redis"), ("worker", "redis")}


def _reaches(source: str, target: str, port: int = 6379) -> bool:
    """Whether the policies let a pod open a connection to a pod of the namespace; those that name neither end do not."""
    policies = [document["spec"] for document in DATA if document["kind"] == "NetworkPolicy"]

    def lets(direction: str, peer_key: str, here: str, there: str) -> bool:
        own = [p for p in policies if direction in p["policyTypes"] and _selects(p["podSelector"], here)]
        rules = [rule for p in own for rule in p.get(direction.lower(), [])]
        return not own or any(
            port in (p["port"] for p in rule["ports"])
            and any("podSelector" in peer and _selects(peer["podSelector"], there) for peer in rule.get(peer_key, []))
            for rule in rules
        )

    return lets("Egress", "to", source, target) and lets("Ingress", "from", target, source)


def _selects(selector: Document, app: str) -> bool:
    labels = selector.get("matchLabels", {}).get("app", app) == app
    return labels and all(
        e["key"] == "app" and e["operator"] == "In" and app in e["values"] for e in selector.get("matchExpressions", [])
    )


@pytest.mark.parametrize("name", ["controller", "worker", "report"])
def test_commands_are_those_of_compose(name: str) -> None:
    container = next(container for app, _, container in PODS if app == container["name"] == name)
    service = COMPOSE[name]
    words = [*service.get("entrypoint", ["actsearch"])[1:], *service["command"]]
    expected = [re.sub(r"\$\{(\w+):-[^}]*\}", r"$(\1)", word) for word in words]
    # Pods start in any order.
    assert [word.replace("wait-redis=300", "wait-redis=60") for word in container["args"]] == expected
    assert container["image"] == service["image"]


def test_settings_are_those_of_compose() -> None:
    defaults = dict(re.findall(r"\$\{(ACTSEARCH_\w+):-([^}]*)\}", (ROOT / "docker-compose.yml").read_text()))
    del defaults["ACTSEARCH_WORKER_MEMORY"]
    assert find(BASE, "ConfigMap", "search")["data"] == defaults
    assert find(GPU, "ConfigMap", "search")["data"] == defaults | {"ACTSEARCH_DEVICE": "cuda:0"}


def test_the_servers_settings_are_those_of_compose() -> None:
    script = " ".join(COMPOSE["secret"]["command"][0].split())
    settings = find(BASE, "ConfigMap", "redis")["data"]["redis.conf"].splitlines()
    assert settings.pop(0) == "include /auth/redis.conf"
    assert " ".join(f"'{line}'" for line in settings) in script.replace("\\ ", "")
    images = {container["image"] for app, _, container in PODS if app == "redis"}
    assert images == {COMPOSE["redis"]["image"]}


@pytest.mark.parametrize("name", ["redis", "controller", "worker"])
def test_limits_and_graces_are_those_of_compose(name: str) -> None:
    spec, container = next((spec, container) for app, spec, container in PODS if app == container["name"] == name)
    memory = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", COMPOSE[name]["mem_limit"])
    limits = container["resources"]["limits"]
    assert (limits["memory"], limits["cpu"]) == (memory.replace("g", "Gi"), str(COMPOSE[name]["cpus"]))
    grace = {"30s": 30, "2m": 120}[COMPOSE[name]["stop_grace_period"]]
    assert spec["terminationGracePeriodSeconds"] == grace


def test_a_worker_with_a_gpu_asks_for_one() -> None:
    (container,) = find(GPU, "Deployment", "worker")["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in str(BASE)


def test_one_controller_at_a_time() -> None:
    job = find(BASE, "Job", "controller")["spec"]
    assert job["podReplacementPolicy"] == "Failed"
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert "parallelism" not in job
