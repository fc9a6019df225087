"""What may a study file hold, whoever reads it? For an editor and the reference pages; no reader asks for all of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from oncofed.server.deployment.consortium_file import ConsortiumTerms
from oncofed.simulations.options.asked import TargetTrialSection
from oncofed.simulations.study import DataSection, EvaluationSpec, SitesSpec
from oncofed.study.plan_settings import PlanSections


@dataclass(frozen=True, kw_only=True)
class AnyStudyFile(PlanSections):
    """With the sections of simulations and of real consortia."""

    data: DataSection
    sites: SitesSpec | None = None
    evaluation: EvaluationSpec | None = None
    target_trial: TargetTrialSection | None = None
    consortium: ConsortiumTerms = field(default_factory=ConsortiumTerms)
