"""How is the Python of `guard.proto` made? By protoc of grpcio-tools: `python -m tests.contracts.generated_guard`.

Only the messages are generated, not gRPC's stubs: guard_server and guard_channel name the methods themselves, so
that bytes can be checked between the messages and the wire.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

SHARED = Path(__file__).resolve().parents[2] / "shared"
PROTO = Path("oncofed/protocol/guard.proto")
GENERATED = (PROTO.with_name("guard_pb2.py"), PROTO.with_name("guard_pb2.pyi"))


def generate(folder: Path) -> None:
    """Writes the generated files below `folder`, at their place in the package."""
    well_known = files("grpc_tools") / "_proto"
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={SHARED}",
            f"--proto_path={well_known}",
            f"--python_out={folder}",
            f"--pyi_out={folder}",
            str(PROTO),
        ]
    )
    if status != 0:
        raise RuntimeError(f"protoc ended with status {status}")


if __name__ == "__main__":
    generate(SHARED)
