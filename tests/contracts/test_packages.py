"""Do Containerfile, compose file and Debian's package hold what the code does: users, folders, ports, commands?

That they install and run: docs/install-packages.md says what was tried.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its types are a package of their own
from packages.deb import NODE, PROGRAM, USERS, texts
from tests.contracts.lock_files import ROOT
from tests.contracts.test_install_pages import PAGES, fault_of
from tests.hardened_units import settings_of

from oncofed.client.install.units import NAMES, filled

CONTAINERFILE = (ROOT / "packages" / "Containerfile").read_text()
OF_A_PERSON = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID"}
"""To give files to the three users and go on as one of them. Tried: without FSETID `site init` cannot share run/."""
PARTS = ("guard", "node", "relay")
PAGE = (ROOT / "docs" / "install-packages.md").read_text()


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "packages" / "compose.yaml").read_text())["services"]
    return found


def stages() -> set[str]:
    return set(re.findall(r"(?m)^FROM \S+ AS (\S+)$", CONTAINERFILE))


def users() -> dict[str, int]:
    """Of the image, with their numbers."""
    (listed,) = re.findall(r"for user in (.*?); do", CONTAINERFILE)
    return {f"oncofed-{name}": int(uid) for name, uid in (each.split(":") for each in listed.split())}


def mounts(service: dict[str, Any]) -> dict[str, bool]:
    """Places inside, and whether they may be written."""
    told = (re.sub(r"\$\{[^}]*\}", "HOST", text).split(":") for text in service.get("volumes", []))
    return {inside: rest != ["ro"] for _, inside, *rest in told}


def hidden(service: dict[str, Any]) -> set[str]:
    empty = {place for place, _, mode in (text.partition(":") for text in service["tmpfs"]) if mode == "mode=0"}
    return empty | {
        inside for each in service["volumes"] if each.startswith("/dev/null:") for inside in [each.split(":")[1]]
    }


@pytest.mark.parametrize("name", services())
def test_each_container_is_read_only_gains_nothing_and_is_a_user_of_the_image(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert "privileged" not in service
    of_a_person = service["profiles"] == ["person"]
    assert service["user"] == "root" if of_a_person else service["user"] in users()
    assert set(service.get("cap_add", [])) == (OF_A_PERSON if of_a_person else set())
    assert ("restart" in service) == (name in (*PARTS, "coordinator")), "a person's command is given once"


@pytest.mark.parametrize("name", services())
def test_each_containers_command_exists_and_its_image_has_a_target(name: str) -> None:
    service = services()[name]
    assert fault_of(["oncofed", *service.get("command", [])]) is None
    image = service["image"].removeprefix("localhost/oncofed-")
    assert image in stages()
    assert service.get("build", {"target": image})["target"] == image


@pytest.mark.parametrize("part", PARTS)
def test_a_part_in_a_container_writes_and_sees_what_its_unit_lets_it(part: str) -> None:
    unit = settings_of(filled(NODE, name="x", users=USERS, command="/x")[f"oncofed-{part}.service"])
    service = services()[part]
    (user,), (written,), (unseen,) = unit["User"], unit["ReadWritePaths"], unit["InaccessiblePaths"]
    assert service["user"] == user
    assert {place for place, may_write in mounts(service).items() if may_write} == set(written.split())
    assert hidden(service) == set(unseen.split())
    assert mounts(service)[str(NODE.root)] is False
    (command,) = unit["ExecStart"]
    assert ["/x", *service["command"]] == command.split()


def test_patients_are_where_the_guard_is_and_nowhere_else_and_it_has_no_network() -> None:
    """Beside the commands of a person, which read them to check and approve."""
    having = {name for name, service in services().items() if "/srv/oncofed" in mounts(service)}
    assert having == {"guard", "setup", "doctor"}
    assert services()["guard"]["network_mode"] == services()["setup"]["network_mode"] == "none"
    assert services()["relay"]["network_mode"] == services()["doctor"]["network_mode"] == "service:node"


def test_the_port_is_that_of_the_pages_and_no_hospital_opens_one() -> None:
    ports = {name: service.get("ports") for name, service in services().items()}
    assert {name: each for name, each in ports.items() if each} == {"coordinator": ["9443:9443"]}
    assert "EXPOSE 9443" in CONTAINERFILE
    assert "fl.example.org:9443" in PAGES["coordinator"]


def test_an_image_holds_its_own_bundle_and_nothing_else_of_this_machine() -> None:
    copied = re.findall(r"(?m)^(?:COPY|ADD) (.*)$", CONTAINERFILE)
    bundles = {f"oncofed-{end}-*.tar /bundle/" for end in ("node", "coordinator", "lab")}
    ours = {f"--from=bundle-of-{end} /opt/oncofed /opt/oncofed" for end in ("node", "coordinator", "lab")}
    assert set(copied) == bundles | ours
    settings = re.findall(r"(?m)^(?:ENV |ARG |    )([A-Z_]+)[=]", CONTAINERFILE)
    assert set(settings) == {
        *("BASE", "PYTHON", "EXTRAS", "PATH"),
        *("FLWR_TELEMETRY_ENABLED", "FLWR_DISABLE_UPDATE_CHECK", "MPLCONFIGDIR", "PYTHONDONTWRITEBYTECODE"),
    }
    values = [each for service in services().values() for each in service.get("environment", [])]
    assert values == ["HTTPS_PROXY"], "a name alone: its value is of whoever starts it"


def test_nothing_of_an_image_runs_as_root_unless_a_person_says_so() -> None:
    for stage in ("node", "coordinator", "lab"):
        text = CONTAINERFILE.split(f" AS {stage}\n")[1].split("\nFROM ")[0]
        (user,) = re.findall(r"(?m)^USER (\S+)$", text)
        assert user in users()
    assert len(set(users().values())) == len(users())


@pytest.fixture(scope="module")
def package() -> dict[str, str]:
    return texts(architecture="amd64", kilobytes=1, maintainer="A <a@example.org>", python="python3.11")


def test_debians_package_has_the_units_of_a_node_in_its_own_place(package: dict[str, str]) -> None:
    units = {name.rpartition("/")[2]: text for name, text in package.items() if name.startswith("lib/systemd/system/")}
    assert set(units) == set(NAMES)
    for part in PARTS:
        unit = settings_of(units[f"oncofed-{part}.service"])
        assert unit["ExecStart"] == {f"{PROGRAM}/bin/oncofed site start {NODE.root} --only {part}"}
        assert unit["User"] == {f"oncofed-{part}"}
    assert "PrivateNetwork=yes" in units["oncofed-guard.service"]


def test_debians_package_touches_nothing_that_a_hospital_wrote(package: dict[str, str]) -> None:
    """Nor any patient's budget: whatever removes is dpkg's own, of files that it laid."""
    assert not [name for name in package if name.startswith("etc/")]
    scripts = {name: text for name, text in package.items() if name.startswith("DEBIAN/") and name != "DEBIAN/control"}
    assert len(scripts) == 4
    for name, text in scripts.items():
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)
        assert "@" not in text, name
        assert not re.search(r"\b(rm|mv|userdel|chown|chmod|find)\b", re.sub(r'echo ".*"', "", text)), name


def test_debians_package_names_commands_that_exist(package: dict[str, str]) -> None:
    lines = [line for text in package.values() for line in re.findall(r'echo " +(oncofed [^"]+)"', text)]
    assert lines
    assert [fault for line in lines if (fault := fault_of(shlex.split(line))) is not None] == []
    assert ",".join((USERS.guard, USERS.node, USERS.relay)) in lines[0]


def test_the_page_types_commands_and_services_that_exist() -> None:
    typed = [shlex.split(line) for line in re.findall(r"(?m)^(oncofed .*)$", PAGE)]
    assert [fault for words in typed if (fault := fault_of(words)) is not None] == []
    runs = re.findall(r"(?m)^docker compose (?:--profile \w+ )?(?:run --rm|exec) (\w+)(.*)$", PAGE)
    assert len(runs) >= 5
    for service, words in runs:
        assert service in services()
        command = shlex.split(words)
        assert fault_of(command if command[:1] == ["oncofed"] else ["oncofed", *command]) is None, words
    for target in re.findall(r"(?m)^make (\w+)", PAGE):
        assert re.search(rf"(?m)^{target}:", (ROOT / "Makefile").read_text()), target
