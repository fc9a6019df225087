"""Why is a launch refused? The words stand in the audit log."""

from __future__ import annotations

from enum import StrEnum


class Why(StrEnum):
    """ELSEWHERE: the way led to another address than a configured one. SERVER: no answer, or none that can be read."""

    ISSUER = "launch_issuer"
    STATE = "launch_state"
    CODE = "launch_code"
    TOKEN = "launch_token"  # noqa: S105 - no secret
    PATIENT = "launch_patient"
    ELSEWHERE = "launch_elsewhere"
    DECLINED = "launch_declined"
    SERVER = "launch_server"


class LaunchRefused(Exception):
    """Nothing was opened. It holds no code, no token and no name of a patient."""

    def __init__(self, why: Why) -> None:
        self.why = why
        super().__init__(why.value)
