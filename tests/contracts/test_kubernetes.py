"""Do the files for Kubernetes say what compose.yaml says: users, rights, folders to write and not to see, commands?

Rendered by kubectl, where it is there; no cluster is here that could run them (docs/install-packages.md).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its types are a package of their own
from tests.contracts.lock_files import ROOT
from tests.contracts.test_install_pages import fault_of
from tests.contracts.test_packages import OF_A_PERSON, hidden, mounts, services, users

FOLDERS = {end: ROOT / "packages" / "kubernetes" / end for end in ("node", "coordinator")}
SERVICES = ("guard", "node", "relay", "coordinator", "setup")


def written(end: str) -> list[dict[str, Any]]:
    found = [
        each
        for path in sorted(FOLDERS[end].glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for each in yaml.safe_load_all(path.read_text())
    ]
    assert found
    return found


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """By the end, each pod's spec."""
    for end in FOLDERS:
        for each in written(end):
            if each["kind"] == "Deployment":
                assert not each["spec"]["replicas"] or each["spec"]["strategy"] == {"type": "Recreate"}
                yield end, each["spec"]["template"]["spec"]


def containers(kind: str = "containers") -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for end, pod in pods():
        for each in pod.get(kind, ()):
            yield end, pod, each


def container(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of compose's name, with its pod; `setup` is the node's."""
    ((pod, found),) = [
        (pod, each)
        for end, pod, each in containers()
        if each["name"] == name and (name, end) != ("setup", "coordinator")
    ]
    return pod, found


def context(pod: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    return {**pod["securityContext"], **one["securityContext"]}


def test_every_container_is_read_only_gains_nothing_and_speaks_to_no_api() -> None:
    seen = 0
    for kind in ("containers", "initContainers"):
        for _, pod, one in containers(kind):
            told = context(pod, one)
            assert told["readOnlyRootFilesystem"] is True
            assert told["allowPrivilegeEscalation"] is False
            assert told["capabilities"]["drop"] == ["ALL"]
            assert told["seccompProfile"] == {"type": "RuntimeDefault"}
            assert "fsGroup" not in told, "it would change the rights of every file"
            assert pod["automountServiceAccountToken"] is False
            added = set(told["capabilities"].get("add", ()))
            assert added == (
                {"CHOWN", "FOWNER"} if kind == "initContainers" else OF_A_PERSON if told["runAsUser"] == 0 else set()
            )
            seen += 1
    assert seen == 8


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_the_user_of_compose_and_runs_its_command(name: str) -> None:
    service, (pod, one) = services()[name], container(name)
    number = 0 if service["user"] == "root" else users()[service["user"]]
    assert context(pod, one)["runAsUser"] == number
    assert one["image"] == service["image"]
    if "command" in service:
        assert one["args"] == service["command"]
        assert fault_of(["oncofed", *one["args"]]) is None


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_writes_and_does_not_see_what_it_does_not_in_compose(name: str) -> None:
    service, (_, one) = services()[name], container(name)
    told = {each["mountPath"]: each for each in one["volumeMounts"]}
    nothing = {place for place, each in told.items() if each["name"] in ("empty", "nothing")}
    assert nothing == hidden(service)
    of_claims = {
        place: not each.get("readOnly", False) for place, each in told.items() if place not in nothing | {"/tmp"}
    }
    wanted = {place: writes for place, writes in mounts(service).items() if place not in nothing}
    assert of_claims == wanted
    assert "/tmp" in told


def test_the_guard_is_a_pod_of_its_own_that_nobody_reaches_and_that_reaches_nobody() -> None:
    pod, _ = container("guard")
    assert [each["name"] for each in pod["containers"]] == ["guard"]
    policies = [each["spec"] for each in written("node") if each["kind"] == "NetworkPolicy"]
    (everybody,) = [each for each in policies if each["podSelector"] == {}]
    assert everybody == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for other in (each for each in policies if each is not everybody):
        assert other["podSelector"] == {"matchLabels": {"app": "oncofed", "part": "node"}}
        assert other["policyTypes"] == ["Egress"]
    (near,) = container("node")[0]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert near["topologyKey"] == "kubernetes.io/hostname", "its socket is on one machine"
    assert near["labelSelector"] == {"matchLabels": {"app": "oncofed", "part": "guard"}}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not there to render them")
@pytest.mark.parametrize("end", FOLDERS)
def test_kubectl_renders_them_whole_and_every_volume_is_there(end: str) -> None:
    done = subprocess.run(["kubectl", "kustomize", str(FOLDERS[end])], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rendered = list(yaml.safe_load_all(done.stdout))
    names = {(each["kind"], each["metadata"]["name"]) for each in rendered}
    assert len(names) == len(rendered)
    for each in rendered:
        if each["kind"] != "Deployment":
            continue
        pod = each["spec"]["template"]["spec"]
        volumes = {one["name"]: one for one in pod["volumes"]}
        assert {mount["name"] for one in pod["containers"] for mount in one["volumeMounts"]} == set(volumes)
        for one in volumes.values():
            if "persistentVolumeClaim" in one:
                assert ("PersistentVolumeClaim", one["persistentVolumeClaim"]["claimName"]) in names
            if "configMap" in one:
                assert ("ConfigMap", one["configMap"]["name"]) in names
        assert {one["image"].partition(":")[2] for one in pod["containers"]} == {"0.1.0"}
