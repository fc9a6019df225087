"""What may a study file hold, whoever reads it? For an editor and the reference pages; no reader asks for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from oncofed.file_model import As
from oncofed.server.deployment.consortium_file import ConsortiumTerms
from oncofed.simulations.study import DataSection, EvaluationSpec, SitesSpec
from oncofed.study.assay_settings import AssaySection
from oncofed.study.panel_settings import PanelRequest
from oncofed.study.plan_settings import PlanSections
from oncofed.study.target_trial_settings import TargetTrialSection


@dataclass(frozen=True, kw_only=True)
class AnyStudyFile(PlanSections):
    """With the sections of simulations and of real consortia."""

    data: DataSection
    sites: SitesSpec | None = None
    evaluation: EvaluationSpec | None = None
    panel: PanelRequest = field(default_factory=PanelRequest)
    assay: Annotated[Mapping[str, AssaySection], As("Study.assays")] = field(default_factory=dict)
    target_trial: TargetTrialSection | None = None
    consortium: ConsortiumTerms = field(default_factory=ConsortiumTerms)
