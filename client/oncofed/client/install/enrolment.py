"""How does a hospital get its keys, and come to trust one coordinator and no other?

`make_request` makes the node key once (it never leaves node/) and gives the request to send. `accept` checks the
coordinator's answer: it must answer this hospital's own request, be signed by the key it names, and that key and the
certificate must have the fingerprint that the hospital heard from the coordinator by telephone.

A coordinator that is pinned may have another address by an acceptance with the same certificate and key, which nobody
else could have made. Other keys are a decision: refused unless whoever accepts says so (`change`), and has heard the
new fingerprint. By the former signing keys nothing is answered any more; plans and models that were taken while they
counted can still be read.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from oncofed.client.install.folder import Coordinator, NodeFolder, SiteSettings, owner_of, read_site
from oncofed.client.install.halves import fit_halves
from oncofed.client.install.rights import refuse_other_kinds
from oncofed.client.install.set_up_alone import set_up_alone
from oncofed.durable import replace_durably
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import plain_bytes
from oncofed.protocol.enrolment import (
    Acceptance,
    EnrolmentRequest,
    coordinator_fingerprint,
    fingerprint,
    load_node_key,
    new_request,
    openssh_line,
    read_acceptance,
    read_request,
    request_bytes,
    same_fingerprint,
)
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.secret_files import LARGEST_SECRET, private_folder, read_secret, read_signing_key, write_secret


def make_request(folder: NodeFolder) -> EnrolmentRequest:
    """The hospital's request; makes the node key and the secret of its processes where they do not exist.

    ECDSA signatures are random, so the request is kept: asked again, the same one (and its fingerprint) is given.
    """
    site = read_site(folder)
    with set_up_alone(folder):
        refuse_other_kinds(folder)
        return _made_request(folder, site)


def _made_request(folder: NodeFolder, site: SiteSettings) -> EnrolmentRequest:
    private_folder(folder.guard)
    private_folder(folder.node)
    private_folder(folder.relay)
    if not folder.node_key.exists():
        key = ec.generate_private_key(ec.SECP384R1())
        private_key = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        write_secret(folder.node_key, private_key, owner=owner_of("node", site.users))
    fit_halves(folder, site.users)
    if not folder.answer_key.exists():
        write_secret(folder.answer_key, new_signing_key(), owner=owner_of("guard", site.users))
    private = read_secret(folder.node_key, follow=False)
    public_line = f"{openssh_line(load_node_key(private).public_key())}\n"
    replace_durably(folder.node_public_key, public_line.encode(), mode=0o644)
    kept = folder.node / "request.json"
    if not kept.exists():
        write_secret(kept, request_bytes(_new_request(folder, site.name, private)), owner=owner_of("node", site.users))
    request = own_request(folder)
    if request.site != site.name:
        raise InvalidInput(
            [
                Fault(
                    "site.toml, name", f"was {request.site} when the request was made", f"Restore it, or remove {kept}."
                )
            ]
        )
    return request


def _new_request(folder: NodeFolder, name: str, node_private_key: bytes) -> EnrolmentRequest:
    return new_request(
        name,
        node_private_key=node_private_key,
        answer_public_key=public_key_of(read_signing_key(folder.answer_key)),
    )


def own_request(folder: NodeFolder) -> EnrolmentRequest:
    """The request this hospital made. Raises InvalidInput when there is none."""
    return read_request(read_secret(folder.node / "request.json", follow=False))


def accept(
    folder: NodeFolder, content: bytes, *, heard_fingerprint: str | None, change: bool = False
) -> tuple[str, ...]:
    """Pin the coordinator of this acceptance; what is another than before, in words.

    heard_fingerprint  the coordinator's, as read out by telephone or printed in the consortium's contract; None where
                       it `keeps_its_keys`.
    change             another certificate or key may take the place of those that are pinned.
    raises             InvalidInput, SignatureInvalid; then nothing was written.
    """
    acceptance = read_acceptance(content)
    request = own_request(folder)
    with set_up_alone(folder):
        refuse_other_kinds(folder)
        return _pin(folder, acceptance, request, heard_fingerprint=heard_fingerprint, change=change)


def keeps_its_keys(folder: NodeFolder, content: bytes) -> bool:
    """Whether an acceptance is of the coordinator that is pinned, with the same certificate and key."""
    return fingerprint_of(read_acceptance(content)) == _pinned_fingerprint(folder, read_site(folder))


def _pin(
    folder: NodeFolder,
    acceptance: Acceptance,
    request: EnrolmentRequest,
    *,
    heard_fingerprint: str | None,
    change: bool,
) -> tuple[str, ...]:
    faults, site = [], read_site(folder)
    if acceptance.request_fingerprint != fingerprint(request_bytes(request)) or acceptance.site != request.site:
        faults.append(
            Fault("acceptance", "answers another request than this hospital's", "Send your request again, and ask why.")
        )
    told, pinned = fingerprint_of(acceptance), _pinned_fingerprint(folder, site)
    if not (told == pinned if heard_fingerprint is None else same_fingerprint(told, heard_fingerprint)):
        faults.append(
            Fault(
                "acceptance",
                f"the coordinator's fingerprint in it is {told}, not the one you heard",
                "Call the coordinator on a number you know. Somebody may have changed the file.",
            )
        )
    before = site.coordinator
    if before is not None and told == pinned and before.address == acceptance.coordinator_address:
        faults.append(Fault("site.toml", "this coordinator is pinned already", "Nothing is to be done."))
    elif before is not None and told != pinned and not change:
        remedy = "If it told you on the telephone that it has other keys, repeat the command with --change."
        faults.append(Fault("site.toml", "a coordinator with other keys is pinned already", remedy))
    if faults:
        raise InvalidInput(faults)
    certificate, changed = acceptance.ca_certificate.encode(), []
    if before is not None and pinned != told:
        is_other = certificate != _pinned_certificate(folder).encode()
        changed = [*(["its certificate"] if is_other else []), *_other_key(before, acceptance)]
    if before is not None and before.address != acceptance.coordinator_address:
        changed.append(f"its address, which was {before.address}")
    replace_durably(folder.ca_certificate, certificate, mode=0o644, owner=owner_of("node", site.users))
    text = with_coordinator(folder.settings.read_text(), acceptance, before=before, told=told)
    rights = folder.settings.stat()
    replace_durably(folder.settings, text.encode(), mode=rights.st_mode & 0o777, owner=(rights.st_uid, rights.st_gid))
    return tuple(changed)


def _pinned_certificate(folder: NodeFolder) -> str:
    """Empty where it is lost."""
    try:
        return plain_bytes(folder.ca_certificate, most=LARGEST_SECRET).decode("ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _pinned_fingerprint(folder: NodeFolder, site: SiteSettings) -> str:
    if site.coordinator is None:
        return ""
    return coordinator_fingerprint(
        ca_certificate=_pinned_certificate(folder), coordinator_public_key=site.coordinator.public_key
    )


def _other_key(before: Coordinator, acceptance: Acceptance) -> list[str]:
    other = before.public_key != acceptance.coordinator_public_key
    return ["the key that signs its plans: those of before are answered no longer"] if other else []


def with_coordinator(text: str, acceptance: Acceptance, *, before: Coordinator | None, told: str) -> str:
    """A site.toml with this coordinator in place of the one before; everything else in it as it was."""
    former: list[str] = []
    if before is not None:
        former = [key for key in before.keys if key != acceptance.coordinator_public_key]
        kept, inside = [], False
        for line in text.splitlines(keepends=True):
            if line.lstrip().startswith("["):
                inside = line.lstrip().startswith("[coordinator]")
            if not inside:
                kept.append(line)
        text = "".join(kept)
    keys = ", ".join(f'"{key}"' for key in former)
    return (
        text.rstrip("\n")
        + f"\n\n[coordinator]  # pinned by `oncofed site accept`; fingerprint {told}\n"
        + f'address = "{acceptance.coordinator_address}"\n'
        + f'public_key = "{acceptance.coordinator_public_key}"\n'
        + (f"former_public_keys = [{keys}]\n" if former else "")
    )


def fingerprint_of(acceptance: Acceptance) -> str:
    """To compare with what the coordinator says on the telephone."""
    return coordinator_fingerprint(
        ca_certificate=acceptance.ca_certificate, coordinator_public_key=acceptance.coordinator_public_key
    )
